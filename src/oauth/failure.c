/*
 * src/oauth/failure.c
 *		The counter of failed authentications.
 *
 * Rows 0 to FAILURE_CLIENTS * FAILURE_WAYS - 1 of smart_internal.oauth_failure are made with the
 * extension, so that no request can make the table larger. A client's failures are in
 * FAILURE_WAYS of them, found by a keyed hash of its id: one that another transaction has
 * locked is passed over, so that nobody waits; when all are locked the failure is not counted. Two
 * clients may share their rows, which a stranger cannot bring about without the key, and
 * which costs no more than a 429 in place of another refusal. Row -1 holds the key.
 */
#include "postgres.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "oauth/failure.h"
#include "oauth/secret.h"
#include "oauth/store.h"

#define FAILURE_CLIENTS 1024
#define FAILURE_WAYS 4
#define KEY_SLOT (-1)
#define WINDOW_SECS 60

/* The first of the client's rows; negative while there is no key. */
static int
first_slot(const char *client_id)
{
	StoreRow *row = store_find(STORE_FAILURE_BY_SLOT, Int32GetDatum(KEY_SLOT));
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len = sizeof(digest);
	bytea *key;
	uint32 number;

	if (row == NULL)
		return -1;
	key = store_bytea(row, FAILURE_KEY);
	/* made at first use: a copy of the database's files is no reason for a known key */
	if (key == NULL)
	{
		char bytes[SECRET_HASH_BYTES];

		if (!store_try_lock(row))
			return -1;
		key = store_bytea(row, FAILURE_KEY);
		if (key == NULL)
		{
			secret_random(bytes, sizeof(bytes));
			key = palloc(VARHDRSZ + sizeof(bytes));
			SET_VARSIZE(key, VARHDRSZ + sizeof(bytes));
			memcpy(VARDATA(key), bytes, sizeof(bytes));
			store_set(row, FAILURE_KEY, PointerGetDatum(key));
			store_update(row);
		}
	}
	if (HMAC(EVP_sha256(),
			 VARDATA_ANY(key),
			 (int) VARSIZE_ANY_EXHDR(key),
			 (const unsigned char *) client_id,
			 strlen(client_id),
			 digest,
			 &len) == NULL)
		return -1;
	memcpy(&number, digest, sizeof(number));
	return (int) (pg_ntoh32(number) % FAILURE_CLIENTS) * FAILURE_WAYS;
}

bool
failure_count(const char *client_id, int *wait)
{
	int slot = first_slot(client_id);
	int64 now = GetCurrentTimestamp() / USECS_PER_SEC;
	int failures = 0;
	int64 oldest = now;
	bool counted = false;

	*wait = WINDOW_SECS;
	if (slot < 0)
		return false;
	for (int i = 0; i < FAILURE_WAYS; i++)
	{
		/* each backend begins elsewhere, so that they meet less */
		int way = (MyProcPid + i) % FAILURE_WAYS;
		StoreRow *row = store_find(STORE_FAILURE_BY_SLOT, Int32GetDatum(slot + way));
		int64 since;
		int here;

		if (row == NULL)
			continue;
		if (!counted && store_try_lock(row))
		{
			since = DatumGetInt64(row->values[FAILURE_SINCE]);
			here = DatumGetInt32(row->values[FAILURE_FAILURES]);
			if (now - since >= WINDOW_SECS || now < since)
			{
				since = now;
				here = 0;
			}
			failures += here;
			/* beyond the limit nothing is gained by counting on */
			if (here < FAILURE_LIMIT)
			{
				store_set(row, FAILURE_SINCE, Int64GetDatum(since));
				store_set(row, FAILURE_FAILURES, Int32GetDatum(here + 1));
				store_update(row);
			}
			counted = true;
		}
		else
		{
			since = DatumGetInt64(row->values[FAILURE_SINCE]);
			here = DatumGetInt32(row->values[FAILURE_FAILURES]);
			if (now - since >= WINDOW_SECS || now < since)
				continue;
			failures += here;
		}
		if (here > 0 && since < oldest)
			oldest = since;
	}
	*wait = (int) Max(1, WINDOW_SECS - (now - oldest));
	return failures >= FAILURE_LIMIT;
}
