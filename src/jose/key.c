/*
 * src/jose/key.c
 *		The life of a key: its OpenSSL objects end with the memory context that it was made in.
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "utils/memutils.h"

#include "jose/key.h"

void
key_free(JoseKey *key)
{
	for (int i = 0; i < JOSE_N_ALGORITHMS; i++)
	{
		EVP_PKEY_CTX_free(key->verify_ctx[i]);
		EVP_PKEY_CTX_free(key->sign_ctx[i]);
	}
	EVP_PKEY_free(key->pkey);
	if (key->secret != NULL)
		OPENSSL_cleanse(key->secret, (size_t) key->size);
}

typedef struct OwnedKey
{
	JoseKey key;
	MemoryContextCallback callback;
} OwnedKey;

static void
free_owned_key(void *arg)
{
	key_free(arg);
}

JoseKey *
key_make(void)
{
	OwnedKey *owned = palloc0(sizeof(OwnedKey));

	owned->callback.func = free_owned_key;
	owned->callback.arg = &owned->key;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &owned->callback);
	return &owned->key;
}
