/*
 * src/oauth/jti.c
 *		The used jti (CA-6, CA-7, CD-8): SHA-256 over what it is for, who issued it, and itself.
 *
 * A lock on the hash, until the transaction ends, comes before the look: so of two at once one waits
 * and sees what the other did, and the unique index need never raise an error.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "port/pg_bswap.h"
#include "storage/lmgr.h"

#include "compat.h"
#include "oauth/jti.h"
#include "oauth/secret.h"
#include "oauth/store.h"

bool
jti_burn(const char *use, const char *issuer, const char *jti, TimestampTz until)
{
	StringInfoData buf;
	bytea *hash;
	StoreRow *row;
	uint32 number;

	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, use, (int) strlen(use) + 1);
	appendBinaryStringInfo(&buf, issuer, (int) strlen(issuer) + 1);
	appendStringInfoString(&buf, jti);
	hash = secret_hash(buf.data, (size_t) buf.len);
	memcpy(&number, VARDATA(hash), sizeof(number));
	LockDatabaseObject(store_table_oid(STORE_JTI), number, 0, ExclusiveLock);
	if (store_find(STORE_JTI_BY_HASH, PointerGetDatum(hash)) != NULL)
		return false;
	row = store_row(STORE_JTI);
	store_set(row, JTI_HASH, PointerGetDatum(hash));
	store_set(row, JTI_EXPIRES_AT, TimestampTzGetDatum(until));
	store_insert(row);
	store_clean_sometimes(STORE_JTI);
	return true;
}
