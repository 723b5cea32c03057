/*
 * src/oauth/signing_key.c
 *		The keys that sign tokens. One is published from its making, signs from signs_from until
 *		it is retired, and stays published until the last token that it may have signed has ended.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "oauth/configuration.h"
#include "oauth/json.h"
#include "oauth/keygen.h"
#include "oauth/seal.h"
#include "oauth/secret.h"
#include "oauth/signing_key.h"
#include "session/key_file.h"

PG_FUNCTION_INFO_V1(smart_oauth_make_signing_key);
PG_FUNCTION_INFO_V1(smart_oauth_seal_signing_keys);
PG_FUNCTION_INFO_V1(smart_oauth_server_jwks);

static MemoryContext keys_context = NULL;
static List *keys = NIL; /* of SigningKey, the latest signs_from first */
static uint64 keys_epoch;

static SigningKey *
read_key(StoreRow *row)
{
	SigningKey *key = palloc(sizeof(SigningKey));

	key->kid = store_text(row, SIGNING_KEY_KID);
	key->algorithm = store_text(row, SIGNING_KEY_ALGORITHM);
	/* a copy: the row, with the private key, is not kept */
	key->public_jwk = (Jsonb *) DatumGetJsonbPCopy(row->values[SIGNING_KEY_PUBLIC]);
	key->signs_from = store_time(row, SIGNING_KEY_SIGNS_FROM);
	key->retired_at =
		row->nulls[SIGNING_KEY_RETIRED_AT] ? DT_NOEND : store_time(row, SIGNING_KEY_RETIRED_AT);
	return key;
}

/* In the order of signs_from, the latest first. */
static int
compare_keys(const ListCell *a, const ListCell *b)
{
	const SigningKey *one = lfirst(a);
	const SigningKey *other = lfirst(b);

	if (one->signs_from != other->signs_from)
		return one->signs_from > other->signs_from ? -1 : 1;
	return strcmp(one->kid, other->kid);
}

/* Their public halves, kept until a row changes; good until the end of the transaction. */
static List *
all_keys(void)
{
	uint64 epoch = store_epoch();
	MemoryContext context;
	MemoryContext old;
	List *rows;
	List *fresh = NIL;
	ListCell *cell;

	if (keys_context != NULL && keys_epoch == epoch)
		return keys;
	rows = store_find_all(STORE_SIGNING_KEY_ALL, 0);
	context = AllocSetContextCreate(
		CurrentMemoryContext, "smart_fhir signing keys", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	foreach(cell, rows)
		fresh = lappend(fresh, read_key(lfirst(cell)));
	list_sort(fresh, compare_keys);
	MemoryContextSwitchTo(old);
	/* somebody up the stack may still hold what was there */
	if (keys_context != NULL)
		MemoryContextSetParent(keys_context, TopTransactionContext);
	MemoryContextSetParent(context, CacheMemoryContext);
	keys_context = context;
	keys = fresh;
	keys_epoch = epoch;
	return keys;
}

static bool
signs(const SigningKey *key, TimestampTz now)
{
	return key->signs_from <= now && now < key->retired_at;
}

/* algorithm NULL: any */
static const SigningKey *
latest(const char *algorithm)
{
	TimestampTz now = GetCurrentTimestamp();
	ListCell *cell;

	foreach(cell, all_keys())
	{
		const SigningKey *key = lfirst(cell);

		if (signs(key, now) && (algorithm == NULL || strcmp(key->algorithm, algorithm) == 0))
			return key;
	}
	return NULL;
}

const SigningKey *
signing_key_latest(void)
{
	return latest(NULL);
}

const SigningKey *
signing_key_latest_of(const char *algorithm)
{
	return latest(algorithm);
}

List *
signing_key_algorithms(void)
{
	TimestampTz now = GetCurrentTimestamp();
	List *names = NIL;
	ListCell *cell;

	foreach(cell, all_keys())
	{
		SigningKey *key = lfirst(cell);
		ListCell *name;
		bool known = false;

		foreach(name, names)
			known = known || strcmp(lfirst(name), key->algorithm) == 0;
		if (!known && signs(key, now))
			names = lappend(names, key->algorithm);
	}
	return names;
}

Jsonb *
signing_key_private(const SigningKey *key)
{
	StoreRow *row = store_find(STORE_SIGNING_KEY_BY_KID, CStringGetTextDatum(key->kid));
	bytea *stored;
	char *text;
	size_t len;
	Jsonb *jwk;

	/* dropped between the look and this one */
	if (row == NULL)
		return NULL;
	stored = store_bytea(row, SIGNING_KEY_PRIVATE);
	if (store_bool(row, SIGNING_KEY_SEALED))
	{
		unsigned char file_key[SEAL_KEY_BYTES];

		text = key_file_read(file_key) ? seal_open(file_key, key->kid, stored, &len) : NULL;
		secret_wipe(file_key, sizeof(file_key));
		if (text == NULL)
			ereport(ERROR,
					errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("a signing key cannot be opened"),
					errdetail("It was sealed under another smart_fhir.key_file."),
					errhint("Put that file back, or make new keys with smart.create_signing_key() "
							"and drop these."));
	}
	else
	{
		len = VARSIZE_ANY_EXHDR(stored);
		text = pnstrdup(VARDATA_ANY(stored), len);
	}
	jwk = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	secret_wipe(text, len);
	pfree(text);
	return jwk;
}

/* Its last token has ended, and it will make no other. */
static bool
is_over(const SigningKey *key)
{
	const OauthConfiguration *c = configuration_get();
	int64 lifetime = Max(c->access_token_lifetime, c->id_token_lifetime) * USECS_PER_SEC;

	return key->retired_at != DT_NOEND && GetCurrentTimestamp() > key->retired_at + lifetime;
}

Jsonb *
signing_key_jwks(void)
{
	List *published = NIL;
	ListCell *cell;
	JsonObject set;

	foreach(cell, all_keys())
	{
		SigningKey *key = lfirst(cell);

		if (!is_over(key))
			published = lappend(published, key->public_jwk);
	}
	json_begin(&set);
	json_add_array(&set, "keys", published);
	return json_end(&set);
}

/* Where nothing can be written, somebody else will. */
static void
remove_old_keys(void)
{
	bool removed = false;
	ListCell *cell;

	if (XactReadOnly || RecoveryInProgress() || IsInParallelMode())
		return;
	foreach(cell, all_keys())
	{
		SigningKey *key = lfirst(cell);
		StoreRow *row = is_over(key)
							? store_find(STORE_SIGNING_KEY_BY_KID, CStringGetTextDatum(key->kid))
							: NULL;

		if (row != NULL && store_try_lock(row))
		{
			store_delete(row);
			removed = true;
		}
	}
	/* out of the own row of smart.issuer too: what it verifies could be signed by whoever has it */
	if (removed)
		(void) OidFunctionCall0(LookupFuncName(
			list_make2(makeString("smart_internal"), makeString("oauth_keep_issuer")),
			0,
			NULL,
			false));
}

static void
set_private(StoreRow *row, const char *kid, const char *text, size_t len)
{
	unsigned char file_key[SEAL_KEY_BYTES];
	bool sealed = key_file_read(file_key);
	bytea *stored;

	if (sealed)
	{
		stored = seal(file_key, kid, text, len);
		secret_wipe(file_key, sizeof(file_key));
	}
	else
	{
		stored = palloc(VARHDRSZ + len);
		SET_VARSIZE(stored, VARHDRSZ + len);
		memcpy(VARDATA(stored), text, len);
	}
	store_set(row, SIGNING_KEY_PRIVATE, PointerGetDatum(stored));
	store_set(row, SIGNING_KEY_SEALED, BoolGetDatum(sealed));
}

/* smart_internal.oauth_make_signing_key(algorithm text, signs_from timestamptz) -> text, the kid */
Datum
smart_oauth_make_signing_key(PG_FUNCTION_ARGS)
{
	char *algorithm = text_to_cstring(PG_GETARG_TEXT_PP(0));
	StoreRow *row = store_row(STORE_SIGNING_KEY);
	NewKey key;

	if (!keygen(algorithm, &key))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid value for parameter \"%s\"", "algorithm"),
				errdetail("Keys are made for RS256, RS384, ES256, ES384 and EdDSA."));
	store_set_text(row, SIGNING_KEY_KID, key.kid);
	store_set_text(row, SIGNING_KEY_ALGORITHM, algorithm);
	store_set(row, SIGNING_KEY_PUBLIC, JsonbPGetDatum(key.public_jwk));
	set_private(row, key.kid, key.private_text, key.private_len);
	secret_wipe(key.private_text, key.private_len);
	store_set(row, SIGNING_KEY_SIGNS_FROM, PG_GETARG_DATUM(1));
	store_insert(row);
	PG_RETURN_TEXT_P(cstring_to_text(key.kid));
}

/* smart_internal.oauth_seal_signing_keys() -> void: those that were made without a key file. */
Datum
smart_oauth_seal_signing_keys(PG_FUNCTION_ARGS)
{
	unsigned char file_key[SEAL_KEY_BYTES];
	ListCell *cell;

	if (!key_file_read(file_key))
		PG_RETURN_VOID();
	secret_wipe(file_key, sizeof(file_key));
	foreach(cell, store_find_all(STORE_SIGNING_KEY_ALL, 0))
	{
		StoreRow *row = lfirst(cell);

		if (!store_bool(row, SIGNING_KEY_SEALED) && store_lock(row) &&
			!store_bool(row, SIGNING_KEY_SEALED))
		{
			bytea *stored = store_bytea(row, SIGNING_KEY_PRIVATE);

			set_private(row,
						store_text(row, SIGNING_KEY_KID),
						VARDATA_ANY(stored),
						VARSIZE_ANY_EXHDR(stored));
			store_update(row);
		}
	}
	PG_RETURN_VOID();
}

/* smart.server_jwks() -> jsonb */
Datum
smart_oauth_server_jwks(PG_FUNCTION_ARGS)
{
	(void) configuration_get(); /* or raise */
	remove_old_keys();
	PG_RETURN_JSONB_P(signing_key_jwks());
}
