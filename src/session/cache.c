/*
 * src/session/cache.c
 *		Sessions of recently verified tokens, by the token's SHA-256.
 *
 * A request a transaction sends the same token again and again. Only verified tokens are
 * kept, never the token itself; a hit checks time and issuer state again, and sessions that
 * context functions took part in are never kept, since those must run at each login.
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "lib/ilist.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "session/revocation.h"
#include "session/session.h"

#define MAX_SESSION_BYTES (16 * 1024)

typedef struct CacheEntry
{
	unsigned char digest[SESSION_DIGEST_LENGTH]; /* hash key */
	dlist_node node;							 /* least recently used last */
	uint64 revocation_epoch;					 /* when it was last seen not to be revoked */
	TimestampTz not_before;
	Session *session;
} CacheEntry;

/*
 * smart_fhir.token_cache_size: how many verified tokens each backend remembers. A superuser
 * raises it where more clients share a pool; 0 verifies each token anew.
 */
static int guc_token_cache_size = 1000;

static HTAB *cache = NULL;
static MemoryContext cache_context = NULL;
static dlist_head recent = DLIST_STATIC_INIT(recent);

void
session_cache_init(void)
{
	DefineCustomIntVariable(
		"smart_fhir.token_cache_size",
		"Sets how many verified tokens a backend remembers.",
		"A remembered token costs a look-up instead of a signature check. 0 turns the cache off.",
		&guc_token_cache_size,
		1000,
		0,
		100000,
		PGC_SUSET,
		0,
		NULL,
		NULL,
		NULL);
}

int
session_cache_size(void)
{
	return guc_token_cache_size;
}

void
session_digest(const char *token, size_t len, unsigned char *digest)
{
	/* looked up and made once a backend */
	static EVP_MD *sha256 = NULL;
	static EVP_MD_CTX *ctx = NULL;

	if (sha256 == NULL)
		sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (ctx == NULL)
		ctx = EVP_MD_CTX_new();
	if (sha256 == NULL || ctx == NULL || EVP_DigestInit_ex(ctx, sha256, NULL) != 1 ||
		EVP_DigestUpdate(ctx, token, len) != 1 || EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
		ereport(ERROR,
				errcode(ERRCODE_INTERNAL_ERROR),
				errmsg("could not compute a digest"),
				errhidestmt(true));
}

static void
remove_entry(CacheEntry *entry)
{
	dlist_delete(&entry->node);
	pfree(entry->session);
	hash_search(cache, entry->digest, HASH_REMOVE, NULL);
}

Session *
session_cache_find(const unsigned char *digest, uint64 *unrevoked_at)
{
	CacheEntry *entry;
	TimestampTz now;
	Session *copy;

	/* turned off: what was remembered before does not count either */
	if (cache == NULL || guc_token_cache_size == 0)
		return NULL;
	entry = hash_search(cache, digest, HASH_FIND, NULL);
	if (entry == NULL)
		return NULL;
	now = GetCurrentTimestamp();
	if (entry->session->issuer_epoch != issuer_epoch() || now >= entry->session->ends_at ||
		now >= entry->session->refuse_after)
	{
		remove_entry(entry);
		return NULL;
	}
	if (now < entry->not_before)
		return NULL;
	*unrevoked_at = revocation_epoch();
	if (entry->revocation_epoch != *unrevoked_at)
	{
		if (revocation_meets(entry->session))
		{
			remove_entry(entry);
			return NULL;
		}
		entry->revocation_epoch = *unrevoked_at;
	}
	dlist_move_head(&recent, &entry->node);
	copy = palloc(entry->session->size);
	memcpy(copy, entry->session, entry->session->size);
	return copy;
}

void
session_cache_store(const unsigned char *digest, const SessionSource *source,
					const Session *session, uint64 unrevoked_at)
{
	CacheEntry *entry;
	Session *copy;
	bool found;

	if (guc_token_cache_size == 0 || session->size > MAX_SESSION_BYTES ||
		source->issuer->patient_aliases != NULL || source->issuer->user_patients != NULL)
		return;
	if (cache == NULL)
	{
		HASHCTL ctl = {0};

		cache_context =
			AllocSetContextCreate(TopMemoryContext, "smart_fhir tokens", ALLOCSET_DEFAULT_SIZES);
		ctl.keysize = SESSION_DIGEST_LENGTH;
		ctl.entrysize = sizeof(CacheEntry);
		ctl.hcxt = cache_context;
		cache = hash_create("smart_fhir tokens", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	while (hash_get_num_entries(cache) >= guc_token_cache_size)
		remove_entry(dlist_tail_element(CacheEntry, node, &recent));
	copy = MemoryContextAlloc(cache_context, session->size);
	memcpy(copy, session, session->size);
	entry = hash_search(cache, digest, HASH_ENTER, &found);
	if (found)
	{
		dlist_delete(&entry->node);
		pfree(entry->session);
	}
	entry->session = copy;
	entry->revocation_epoch = unrevoked_at;
	entry->not_before = Max(source->times.has_nbf ? source->times.nbf : 0,
							source->times.has_iat ? source->times.iat : 0) -
						source->issuer->leeway_usecs;
	dlist_push_head(&recent, &entry->node);
}
