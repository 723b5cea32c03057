/*
 * src/oauth/seal.c
 *		AES-256-GCM with OpenSSL, and the key file of the server. Knows nothing of what is sealed.
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "storage/fd.h"
#include "utils/guc.h"

#include "compat.h"
#include "jose/evp.h"
#include "oauth/seal.h"
#include "oauth/secret.h"

#define NONCE_BYTES 12
#define TAG_BYTES 16

#define KEY_FILE_MIN_BYTES 32
#define KEY_FILE_MAX_BYTES 4096

/*
 * smart_fhir.key_file: a file that the server can read, outside its data directory, with 32 random
 * bytes or more in it; private signing keys are sealed under it, so that no dump, standby or
 * backup has them in clear. A relative path is relative to the data directory.
 */
static char *guc_key_file = NULL;

void
seal_init(void)
{
	DefineCustomStringVariable(
		"smart_fhir.key_file",
		"File whose content seals the private signing keys of smart_fhir_oauth.",
		"Empty: they are stored in clear.",
		&guc_key_file,
		"",
		PGC_SIGHUP,
		GUC_SUPERUSER_ONLY,
		NULL,
		NULL,
		NULL);
}

bool
seal_file_key(unsigned char *key)
{
	unsigned char content[KEY_FILE_MAX_BYTES];
	unsigned char digest[JOSE_MAX_HASH_BYTES];
	struct stat st;
	ssize_t len = -1;
	int fd;

	if (guc_key_file == NULL || *guc_key_file == '\0')
		return false;
	fd = OpenTransientFile(guc_key_file, O_RDONLY | PG_BINARY);
	if (fd >= 0)
	{
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
			len = read(fd, content, sizeof(content));
		CloseTransientFile(fd);
	}
	while (len > 0 && (content[len - 1] == '\n' || content[len - 1] == '\r'))
		len--;
	if (len < KEY_FILE_MIN_BYTES || (size_t) len == sizeof(content))
	{
		secret_wipe(content, sizeof(content));
		ereport(
			ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("smart_fhir.key_file cannot be used"),
			errdetail("The server must be able to read it, and it holds 32 to 4095 bytes."),
			errhint("openssl rand -base64 48 makes one; mode 0600, owned by the server's user."));
	}
	if (st.st_mode & (S_IROTH | S_IWOTH | S_IWGRP))
	{
		secret_wipe(content, sizeof(content));
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("smart_fhir.key_file cannot be used"),
				errdetail("Others than the server's user may read or write it."),
				errhint("chmod 0600, or 0640 with a group of its own."));
	}
	if (!evp_digest(JOSE_SHA256, content, (size_t) len, digest))
		ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a hash"));
	memcpy(key, digest, SEAL_KEY_BYTES);
	secret_wipe(content, sizeof(content));
	secret_wipe(digest, sizeof(digest));
	return true;
}

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
