/*
 * src/jose/keyset.c
 *		JWK Sets (RFC 7517 5): which keys of a set can be used.
 *
 * Keys that cannot be used are left out and do not spoil the others. A set owns its
 * OpenSSL objects through a reset callback of the context that it was made in. Knows
 * nothing of tokens.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "compat.h"
#include "jose/jwk.h"
#include "jose/member.h"

struct JoseKeySet
{
	int n_keys; /* usable ones */
	int n_read; /* all that the callback has to free */
	JoseKey *keys;
	MemoryContextCallback callback;
};

static void
free_keyset(void *arg)
{
	JoseKeySet *set = arg;

	for (int i = 0; i < set->n_read; i++)
		key_free(&set->keys[i]);
}

/* The keys of a JWK Set, of an array or a lone JWK, as the caller gave them. */
typedef struct Entries
{
	JsonbContainer *container; /* the array, or the lone key */
	int n;
} Entries;

static bool
find_entries(Jsonb *jwks, Entries *entries, const char **error)
{
	JsonbContainer *root = &jwks->root;
	JsonbValue value;

	entries->container = NULL;
	if (VARSIZE(jwks) > JOSE_MAX_JWKS_BYTES)
	{
		*error = "The key set is larger than 512 KiB.";
		return false;
	}
	if (JsonContainerIsObject(root))
	{
		if (getKeyJsonValueFromContainer(root, "keys", 4, &value) != NULL)
		{
			if (value.type == jbvBinary && JsonContainerIsArray(value.val.binary.data))
				entries->container = value.val.binary.data;
		}
		else if (member_text(root, "kty", &value))
			entries->container = root;
	}
	else if (JsonContainerIsArray(root) && !JsonContainerIsScalar(root))
		entries->container = root;
	if (entries->container == NULL)
	{
		*error = "The value is neither a JWK Set nor a key nor an array of keys.";
		return false;
	}
	entries->n =
		JsonContainerIsObject(entries->container) ? 1 : (int) JsonContainerSize(entries->container);
	return true;
}

/* Entry i, from 0; NULL when it is no object. */
static JsonbContainer *
get_entry(const Entries *entries, int i)
{
	JsonbValue *entry;

	if (JsonContainerIsObject(entries->container))
		return entries->container;
	entry = getIthJsonbValueFromContainer(entries->container, (uint32) i);
	return entry->type == jbvBinary && JsonContainerIsObject(entry->val.binary.data)
			   ? entry->val.binary.data
			   : NULL;
}

/* The first KID_SHOWN bytes of a kid, for a message. */
#define KID_SHOWN 64

char *
jose_key_name(int number, const char *kid)
{
	if (kid == NULL)
		return psprintf("key %d", number);
	return psprintf("key %d (kid \"%.*s%s\")",
					number,
					pg_mbcliplen(kid, (int) strlen(kid), KID_SHOWN),
					kid,
					strlen(kid) > KID_SHOWN ? "..." : "");
}

/* A member's text, palloc'd; NULL when it is absent or no string. */
static char *
entry_text(JsonbContainer *jwk, const char *name)
{
	JsonbValue value;

	return member_text(jwk, name, &value) ? pnstrdup(value.val.string.val, value.val.string.len)
										  : NULL;
}

/* Why a set that is to hold public keys only is refused for one of its keys; NULL: it is not. */
static const char *
secret_problem(const Entries *entries)
{
	for (int i = 0; i < entries->n; i++)
	{
		JsonbContainer *jwk = get_entry(entries, i);
		const char *member = jwk == NULL ? NULL : jwk_secret_member(jwk);
		const char *name;

		if (member == NULL)
			continue;
		name = jose_key_name(i + 1, entry_text(jwk, "kid"));
		if (strcmp(member, "k") == 0 || strcmp(member, "kty") == 0)
			return psprintf("In the key set, %s is a symmetric key.", name);
		return psprintf(
			"In the key set, %s has the member \"%s\", which is a private key's.", name, member);
	}
	return NULL;
}

JoseKeySet *
jose_keyset_parse(Jsonb *jwks, bool public_only, const char **error)
{
	Entries entries;
	JoseKeySet *set;

	*error = NULL;
	if (!find_entries(jwks, &entries, error))
		return NULL;
	if (entries.n > JOSE_MAX_KEYS)
	{
		*error = psprintf("The key set has %d keys, more than %d.", entries.n, JOSE_MAX_KEYS);
		return NULL;
	}
	if (public_only && (*error = secret_problem(&entries)) != NULL)
		return NULL;

	set = palloc0(sizeof(JoseKeySet));
	set->keys = palloc0(sizeof(JoseKey) * Max(entries.n, 1));
	set->callback.func = free_keyset;
	set->callback.arg = set;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &set->callback);

	for (int i = 0; i < entries.n; i++)
	{
		JsonbContainer *jwk = get_entry(&entries, i);
		JoseKey *key = &set->keys[set->n_keys];
		const char *why;

		if (jwk == NULL)
			continue;
		/* an error that is thrown half way finds the key that is being read, too */
		set->n_read = set->n_keys + 1;
		if (jwk_read(jwk, false, key, &why) && key->verifies != 0)
			set->n_keys++;
		else
		{
			key_free(key);
			memset(key, 0, sizeof(*key));
		}
		set->n_read = set->n_keys;
	}
	return set;
}

/* Do two entries say the same? The material as its thumbprint, or byte by byte where there is none. */
static bool
same_report(const JoseKeyReport *a, const JoseKeyReport *b)
{
#define SAME(member)                                                                               \
	(a->member == NULL ? b->member == NULL : b->member != NULL && strcmp(a->member, b->member) == 0)
	return SAME(kid) && SAME(kty) && SAME(alg) && SAME(use) && SAME(reason) &&
		   a->verifies == b->verifies && a->thumbprint[0] != '\0' &&
		   strcmp(a->thumbprint, b->thumbprint) == 0;
#undef SAME
}

JoseKeyReport *
jose_keyset_report(Jsonb *jwks, bool public_only, int *n, const char **error)
{
	const char *refused = NULL;
	Entries entries;
	JoseKeyReport *reports;

	*n = 0;
	*error = NULL;
	if (!find_entries(jwks, &entries, error))
		return NULL;
	if (entries.n > JOSE_MAX_KEYS)
		refused = "The key set has more than 100 keys and is refused as a whole.";
	else if (public_only)
		refused = secret_problem(&entries);
	reports = palloc0(sizeof(JoseKeyReport) * Max(entries.n, 1));
	for (int i = 0; i < entries.n; i++)
	{
		JsonbContainer *jwk = get_entry(&entries, i);
		JoseKeyReport *report = &reports[*n];
		JoseKey *key = key_make();
		bool known = false;

		memset(report, 0, sizeof(*report));
		report->number = i + 1;
		if (jwk == NULL)
			report->reason = "A key must be a JSON object.";
		else
		{
			report->kid = entry_text(jwk, "kid");
			report->kty = entry_text(jwk, "kty");
			report->alg = entry_text(jwk, "alg");
			report->use = entry_text(jwk, "use");
			if (jwk_read(jwk, false, key, &report->reason))
				report->reason = key->no_verify;
			report->verifies = key->verifies;
			strlcpy(report->thumbprint, key->thumbprint, sizeof(report->thumbprint));
		}
		if (refused != NULL)
		{
			report->verifies = 0;
			report->reason = refused;
		}
		for (int j = 0; j < *n && !known; j++)
			known = same_report(report, &reports[j]);
		if (!known)
			(*n)++;
	}
	return reports;
}

int
jose_keyset_size(const JoseKeySet *set)
{
	return set->n_keys;
}

const JoseKey *
jose_keyset_key(const JoseKeySet *set, int i)
{
	Assert(i >= 0 && i < set->n_keys);
	return &set->keys[i];
}

const char *
jose_key_thumbprint(const JoseKey *key)
{
	return key->thumbprint;
}

const char *
jose_key_kid(const JoseKey *key)
{
	return key->kid;
}

bool
jose_keyset_has_thumbprint(const JoseKeySet *set, const char *thumbprint)
{
	for (int i = 0; i < set->n_keys; i++)
	{
		if (strcmp(set->keys[i].thumbprint, thumbprint) == 0)
			return true;
	}
	return false;
}
