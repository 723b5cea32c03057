/*
 * src/jose/signer.c
 *		Private keys and secrets, parsed once and kept: bounded, one cache a backend.
 *
 * An entry is found by the SHA-256 of what its user calls the key (the key itself, or a sealed
 * form of it), so the cache holds no text of a secret. What is evicted is cleared. Knows
 * nothing of tokens.
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "utils/memutils.h"

#include "compat.h"
#include "jose/evp.h"
#include "jose/jwk.h"
#include "jose/jose.h"

#define SIGNERS 16
#define NAME_BYTES 32

typedef struct SignerEntry
{
	MemoryContext context; /* owns the key; NULL: the entry is free */
	unsigned char name[NAME_BYTES];
	JoseKey *key;
	uint64 last_use;
} SignerEntry;

static SignerEntry signers[SIGNERS];
static uint64 use_counter;

static bool
digest_name(const void *name, size_t len, unsigned char *digest)
{
	unsigned char hash[JOSE_MAX_HASH_BYTES];

	if (!evp_digest(JOSE_SHA256, name, len, hash))
		return false;
	memcpy(digest, hash, NAME_BYTES);
	return true;
}

static void
drop_signer(SignerEntry *entry)
{
	MemoryContext context = entry->context;

	if (context == NULL)
		return;
	memset(entry, 0, sizeof(*entry));
	/* the context's callback frees the key; OpenSSL and key_free() clear what is secret */
	MemoryContextDelete(context);
}

JoseKey *
jose_signer_find(const void *name, size_t len)
{
	unsigned char digest[NAME_BYTES];

	if (!digest_name(name, len, digest))
		return NULL;
	for (int i = 0; i < SIGNERS; i++)
	{
		if (signers[i].context != NULL && memcmp(signers[i].name, digest, NAME_BYTES) == 0)
		{
			signers[i].last_use = ++use_counter;
			return signers[i].key;
		}
	}
	return NULL;
}

JoseKey *
jose_signer_add(const void *name, size_t len, Jsonb *jwk, const char **error)
{
	/* built in a context of the caller's: an error half way leaves the cache as it was */
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "smart_fhir signer", ALLOCSET_SMALL_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	SignerEntry made = {.context = context, .key = key_make()};
	SignerEntry *entry = &signers[0];
	bool is_key = jwk_read(&jwk->root, true, made.key, error);

	MemoryContextSwitchTo(old_context);
	if (is_key && !digest_name(name, len, made.name))
	{
		*error = "OpenSSL made no digest.";
		is_key = false;
	}
	if (!is_key)
	{
		MemoryContextDelete(context);
		return NULL;
	}
	made.last_use = ++use_counter;
	for (int i = 1; i < SIGNERS; i++)
	{
		if (signers[i].last_use < entry->last_use)
			entry = &signers[i];
	}
	MemoryContextSetParent(context, TopMemoryContext);
	drop_signer(entry);
	*entry = made;
	return made.key;
}
