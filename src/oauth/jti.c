/*
 * src/oauth/jti.c
 *		The used jti (CA-6, CA-7, CD-8): SHA-256 over what it is for, who issued it, and itself.
 *
 * The unique index decides: of two at once one waits for the other, and none raises an error.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

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

	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, use, (int) strlen(use) + 1);
	appendBinaryStringInfo(&buf, issuer, (int) strlen(issuer) + 1);
	appendStringInfoString(&buf, jti);
	hash = secret_hash(buf.data, (size_t) buf.len);
	row = store_row(STORE_JTI);
	store_set(row, JTI_HASH, PointerGetDatum(hash));
	store_set(row, JTI_EXPIRES_AT, TimestampTzGetDatum(until));
	if (!store_insert_new(row, STORE_JTI_BY_HASH))
		return false;
	store_clean_sometimes(STORE_JTI);
	return true;
}
