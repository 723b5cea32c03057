/*
 * src/oauth/secret.c
 *		Secrets of the authorization server. Knows nothing of what they are for.
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "compat.h"
#include "jose/b64.h"
#include "jose/evp.h"
#include "oauth/secret.h"

#define SECRET_RANDOM_BYTES 32
#define ID_RANDOM_BYTES 16

void
secret_random(void *out, size_t len)
{
	if (!pg_strong_random(out, len))
		ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values"));
}

static char *
random_text(const char *prefix, size_t n_bytes)
{
	unsigned char bytes[SECRET_RANDOM_BYTES];
	size_t prefix_len = strlen(prefix);
	char *text = palloc(prefix_len + B64URL_ENCODED_LEN(n_bytes) + 1);
	size_t len;

	secret_random(bytes, n_bytes);
	memcpy(text, prefix, prefix_len);
	len = prefix_len + b64url_encode(bytes, n_bytes, text + prefix_len);
	text[len] = '\0';
	secret_wipe(bytes, sizeof(bytes));
	return text;
}

char *
secret_make(void)
{
	return random_text(SECRET_PREFIX, SECRET_RANDOM_BYTES);
}

char *
secret_make_id(void)
{
	return random_text("", ID_RANDOM_BYTES);
}

bool
secret_has_shape(const char *secret)
{
	size_t prefix_len = strlen(SECRET_PREFIX);
	unsigned char bytes[B64URL_DECODED_MAX(B64URL_ENCODED_LEN(SECRET_RANDOM_BYTES))];
	size_t n_bytes;

	return strlen(secret) == prefix_len + B64URL_ENCODED_LEN(SECRET_RANDOM_BYTES) &&
		   memcmp(secret, SECRET_PREFIX, prefix_len) == 0 &&
		   b64url_decode(secret + prefix_len, strlen(secret) - prefix_len, bytes, &n_bytes);
}

bytea *
secret_hash(const char *secret, size_t len)
{
	unsigned char digest[JOSE_MAX_HASH_BYTES];
	bytea *hash = palloc(VARHDRSZ + SECRET_HASH_BYTES);

	if (!evp_digest(JOSE_SHA256, secret, len, digest))
		ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a hash"));
	SET_VARSIZE(hash, VARHDRSZ + SECRET_HASH_BYTES);
	memcpy(VARDATA(hash), digest, SECRET_HASH_BYTES);
	return hash;
}

bool
secret_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

bool
secret_hash_equal(const bytea *a, const bytea *b)
{
	return VARSIZE_ANY_EXHDR(a) == SECRET_HASH_BYTES && VARSIZE_ANY_EXHDR(b) == SECRET_HASH_BYTES &&
		   secret_equal(VARDATA_ANY(a), VARDATA_ANY(b), SECRET_HASH_BYTES);
}

void
secret_wipe(void *secret, size_t len)
{
	OPENSSL_cleanse(secret, len);
}
