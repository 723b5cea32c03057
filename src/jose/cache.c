/*
 * src/jose/cache.c
 *		Parsed key sets by their jsonb value, bounded, one cache a backend.
 *
 * Parsing a set costs many times what a signature does. The value itself is the key of
 * the cache, compared byte by byte, so a stale or foreign set cannot be met. Nothing
 * else is kept: a hit says nothing about a token.
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "utils/memutils.h"

#include "compat.h"
#include "jose/cache.h"

#define CACHE_ENTRIES 32
/* Larger sets are parsed each time, so that the cache cannot hold much memory. */
#define CACHE_MAX_JWKS_BYTES (64 * 1024)

typedef struct CacheEntry
{
	MemoryContext context; /* owns the rest; NULL: the entry is free */
	Jsonb *jwks;
	const JoseKeySet *set;
	uint64 last_use;
} CacheEntry;

static CacheEntry entries[CACHE_ENTRIES];
static uint64 use_counter;

static void
drop_entry(CacheEntry *entry)
{
	MemoryContext context = entry->context;

	if (context == NULL)
		return;
	/* the set may hold secrets */
	OPENSSL_cleanse(entry->jwks, VARSIZE(entry->jwks));
	memset(entry, 0, sizeof(*entry));
	MemoryContextDelete(context);
}

static CacheEntry *
oldest_entry(void)
{
	CacheEntry *oldest = &entries[0];

	for (int i = 1; i < CACHE_ENTRIES; i++)
	{
		if (entries[i].last_use < oldest->last_use)
			oldest = &entries[i];
	}
	return oldest;
}

const JoseKeySet *
keyset_cache_get(Jsonb *jwks, const char **error)
{
	size_t size = VARSIZE(jwks);
	MemoryContext context;
	MemoryContext old_context;
	CacheEntry made;
	CacheEntry *entry;

	for (int i = 0; i < CACHE_ENTRIES; i++)
	{
		entry = &entries[i];
		if (entry->context != NULL && VARSIZE(entry->jwks) == size &&
			memcmp(entry->jwks, jwks, size) == 0)
		{
			entry->last_use = ++use_counter;
			return entry->set;
		}
	}
	if (size > CACHE_MAX_JWKS_BYTES)
		return jose_keyset_parse(jwks, false, error);

	/* built in a context of the caller's: an error half way leaves the cache as it was */
	context = AllocSetContextCreate(CurrentMemoryContext, "smart_fhir keys", ALLOCSET_SMALL_SIZES);
	old_context = MemoryContextSwitchTo(context);
	made.context = context;
	made.set = jose_keyset_parse(jwks, false, error);
	made.jwks = palloc(size);
	memcpy(made.jwks, jwks, size);
	made.last_use = ++use_counter;
	MemoryContextSwitchTo(old_context);
	if (made.set == NULL)
	{
		*error = pstrdup(*error);
		MemoryContextDelete(context);
		return NULL;
	}
	MemoryContextSetParent(context, TopMemoryContext);
	entry = oldest_entry();
	drop_entry(entry);
	*entry = made;
	return made.set;
}
