/*
 * src/jose/keyset.c
 *		JWK Sets (RFC 7517 5): which keys of a set can be used.
 *
 * Keys that cannot be used are left out and do not spoil the others. A set owns its
 * OpenSSL objects through a reset callback of the context that it was made in. Knows
 * nothing of tokens.
 */
#include "postgres.h"

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

/* Add one entry of a set; false when public_only forbids the set. */
static bool
add_entry(JoseKeySet *set, JsonbContainer *jwk, bool public_only)
{
	JoseKey *key = &set->keys[set->n_keys];
	const char *error;

	if (public_only && jwk_is_secret(jwk))
		return false;
	set->n_read = set->n_keys + 1;
	if (jwk_read(jwk, false, key, &error) && key->verifies != 0)
		set->n_keys++;
	else
	{
		key_free(key);
		memset(key, 0, sizeof(*key));
		set->n_read = set->n_keys;
	}
	return true;
}

JoseKeySet *
jose_keyset_parse(Jsonb *jwks, bool public_only, const char **error)
{
	JsonbContainer *root = &jwks->root;
	JsonbContainer *entries = NULL;
	JsonbValue value;
	JoseKeySet *set;
	uint32 n;

	*error = NULL;
	if (VARSIZE(jwks) > JOSE_MAX_JWKS_BYTES)
	{
		*error = "The key set is larger than 512 KiB.";
		return NULL;
	}
	if (JsonContainerIsObject(root))
	{
		if (getKeyJsonValueFromContainer(root, "keys", 4, &value) != NULL)
		{
			if (value.type == jbvBinary && JsonContainerIsArray(value.val.binary.data))
				entries = value.val.binary.data;
		}
		else if (member_text(root, "kty", &value))
			entries = root;
	}
	else if (JsonContainerIsArray(root) && !JsonContainerIsScalar(root))
		entries = root;
	if (entries == NULL)
	{
		*error = "The value is neither a JWK Set nor a key nor an array of keys.";
		return NULL;
	}
	n = JsonContainerIsObject(entries) ? 1 : JsonContainerSize(entries);
	if (n > JOSE_MAX_KEYS)
	{
		*error = "The key set has more than 100 keys.";
		return NULL;
	}

	set = palloc0(sizeof(JoseKeySet));
	set->keys = palloc0(sizeof(JoseKey) * Max(n, 1));
	set->callback.func = free_keyset;
	set->callback.arg = set;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &set->callback);

	for (uint32 i = 0; i < n; i++)
	{
		JsonbContainer *jwk = entries;

		if (JsonContainerIsArray(entries))
		{
			JsonbValue *entry = getIthJsonbValueFromContainer(entries, i);

			if (entry->type != jbvBinary || !JsonContainerIsObject(entry->val.binary.data))
				continue;
			jwk = entry->val.binary.data;
		}
		if (!add_entry(set, jwk, public_only))
		{
			*error = "The key set holds a private or symmetric key.";
			return NULL;
		}
	}
	return set;
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
