/*
 * src/audit/identity.c
 *		HMAC-SHA-256 under a sub-key for each kind, which is itself the HMAC of the kind's name under the
 *		server's key (as in NIST SP 800-108, with one block).
 *
 * The state of SHA-256 after each sub-key's block is kept, so that a hash costs two blocks and no
 * memory. Knows nothing of records.
 */
#include "postgres.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/sha2.h"

#include "compat.h"
#include "audit/identity.h"
#include "session/key_file.h"

static const char *const kinds[] = {"subject", "fhir_user", "patient", "encounter", "jti", "mac"};

/* The states behind the key's two blocks (RFC 2104), NULL until first used. */
static struct
{
	EVP_MD_CTX *inner;
	EVP_MD_CTX *outer;
} states[IDENTITY_N_KINDS];
static EVP_MD_CTX *working = NULL;
static bool has_key = false;
static bool loaded = false;
static uint64 loaded_generation;

bool
identity_kind(const char *name, IdentityKind *kind)
{
	for (int i = 0; i < IDENTITY_MAC; i++)
	{
		if (strcmp(name, kinds[i]) == 0)
		{
			*kind = (IdentityKind) i;
			return true;
		}
	}
	return false;
}

static void
crypto_failed(void)
{
	has_key = false;
	ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a hash"));
}

/* A state behind the block of a key with each byte changed by pad. */
static void
start_state(EVP_MD_CTX **state, const unsigned char *key, unsigned char pad)
{
	unsigned char block[PG_SHA256_BLOCK_LENGTH];

	if (*state == NULL)
		*state = EVP_MD_CTX_new();
	memset(block, pad, sizeof(block));
	for (int i = 0; i < PG_SHA256_DIGEST_LENGTH; i++)
		block[i] ^= key[i];
	if (*state == NULL || EVP_DigestInit_ex(*state, EVP_sha256(), NULL) != 1 ||
		EVP_DigestUpdate(*state, block, sizeof(block)) != 1)
		crypto_failed();
	OPENSSL_cleanse(block, sizeof(block));
}

static void
start_kind(IdentityKind kind, const unsigned char *key)
{
	unsigned char sub_key[EVP_MAX_MD_SIZE];
	char name[64];
	unsigned int len;

	snprintf(name, sizeof(name), "smart_fhir audit %s", kinds[kind]);
	if (HMAC(EVP_sha256(),
			 key,
			 KEY_FILE_KEY_BYTES,
			 (const unsigned char *) name,
			 strlen(name),
			 sub_key,
			 &len) == NULL)
		crypto_failed();
	start_state(&states[kind].inner, sub_key, 0x36);
	start_state(&states[kind].outer, sub_key, 0x5c);
	OPENSSL_cleanse(sub_key, sizeof(sub_key));
}

bool
identity_load(void)
{
	unsigned char key[KEY_FILE_KEY_BYTES];

	if (loaded && loaded_generation == key_file_generation())
		return has_key;
	loaded = has_key = false;
	if (working == NULL && (working = EVP_MD_CTX_new()) == NULL)
		crypto_failed();
	if (key_file_read(key))
	{
		for (int i = 0; i < IDENTITY_N_KINDS; i++)
			start_kind((IdentityKind) i, key);
		OPENSSL_cleanse(key, sizeof(key));
		has_key = true;
	}
	loaded = true;
	loaded_generation = key_file_generation();
	return has_key;
}

/* The first bytes of the HMAC in hex. */
static bool
compute(IdentityKind kind, const char *value, size_t len, int bytes, char *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	static const char hex[] = "0123456789abcdef";

	if (!has_key || EVP_MD_CTX_copy_ex(working, states[kind].inner) != 1 ||
		EVP_DigestUpdate(working, value, len) != 1 ||
		EVP_DigestFinal_ex(working, digest, NULL) != 1 ||
		EVP_MD_CTX_copy_ex(working, states[kind].outer) != 1 ||
		EVP_DigestUpdate(working, digest, PG_SHA256_DIGEST_LENGTH) != 1 ||
		EVP_DigestFinal_ex(working, digest, NULL) != 1)
		return false;
	for (int i = 0; i < bytes; i++)
	{
		*out++ = hex[digest[i] >> 4];
		*out++ = hex[digest[i] & 0x0F];
	}
	*out = '\0';
	return true;
}

bool
identity_hash(IdentityKind kind, const char *value, size_t len, char *out)
{
	return compute(kind, value, len, IDENTITY_HASH_HEX / 2, out);
}

bool
identity_mac(const char *text, size_t len, char *out)
{
	return compute(IDENTITY_MAC, text, len, IDENTITY_MAC_HEX / 2, out);
}
