/*
 * src/oauth/seal.c
 *		AES-256-GCM with OpenSSL. Knows nothing of what is sealed.
 */
#include "postgres.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include "compat.h"
#include "oauth/seal.h"
#include "oauth/secret.h"

#define NONCE_BYTES 12
#define TAG_BYTES 16

static void
crypto_failed(EVP_CIPHER_CTX *ctx)
{
	EVP_CIPHER_CTX_free(ctx);
	ERR_clear_error();
	ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not encrypt"));
}

bytea *
seal(const unsigned char *key, const char *context, const void *data, size_t len)
{
	bytea *sealed = palloc(VARHDRSZ + NONCE_BYTES + len + TAG_BYTES);
	unsigned char *out = (unsigned char *) VARDATA(sealed);
	EVP_CIPHER_CTX *ctx;
	int n;

	SET_VARSIZE(sealed, VARHDRSZ + NONCE_BYTES + len + TAG_BYTES);
	secret_random(out, NONCE_BYTES);
	ctx = EVP_CIPHER_CTX_new();
	if (ctx == NULL || EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, out) != 1 ||
		EVP_EncryptUpdate(ctx, NULL, &n, (const unsigned char *) context, (int) strlen(context)) !=
			1 ||
		EVP_EncryptUpdate(ctx, out + NONCE_BYTES, &n, data, (int) len) != 1 || n != (int) len ||
		EVP_EncryptFinal_ex(ctx, out + NONCE_BYTES + len, &n) != 1 ||
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, out + NONCE_BYTES + len) != 1)
		crypto_failed(ctx);
	EVP_CIPHER_CTX_free(ctx);
	return sealed;
}

char *
seal_open(const unsigned char *key, const char *context, const bytea *sealed, size_t *len)
{
	const unsigned char *in = (const unsigned char *) VARDATA_ANY(sealed);
	size_t total = VARSIZE_ANY_EXHDR(sealed);
	unsigned char *out;
	EVP_CIPHER_CTX *ctx;
	bool good;
	int n;

	if (total < NONCE_BYTES + TAG_BYTES)
		return NULL;
	*len = total - NONCE_BYTES - TAG_BYTES;
	out = palloc(*len + 1);
	ctx = EVP_CIPHER_CTX_new();
	good = ctx != NULL && EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, in) == 1 &&
		   EVP_DecryptUpdate(
			   ctx, NULL, &n, (const unsigned char *) context, (int) strlen(context)) == 1 &&
		   EVP_DecryptUpdate(ctx, out, &n, in + NONCE_BYTES, (int) *len) == 1 &&
		   EVP_CIPHER_CTX_ctrl(ctx,
							   EVP_CTRL_GCM_SET_TAG,
							   TAG_BYTES,
							   unconstify(unsigned char *, in) + NONCE_BYTES + *len) == 1 &&
		   EVP_DecryptFinal_ex(ctx, out + n, &n) == 1;
	EVP_CIPHER_CTX_free(ctx);
	if (!good)
	{
		ERR_clear_error();
		secret_wipe(out, *len + 1);
		pfree(out);
		return NULL;
	}
	out[*len] = '\0';
	return (char *) out;
}
