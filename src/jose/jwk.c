/*
 * src/jose/jwk.c
 *		One JSON Web Key: what it may be used for, and its thumbprint.
 *
 * What use, key_ops and alg allow is kept as bits, so that choosing a key is a mask
 * test. Knows nothing of tokens; the key's numbers are src/jose/material.c's.
 */
#include "postgres.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "jose/b64.h"
#include "jose/evp.h"
#include "jose/jwk.h"
#include "jose/material.h"
#include "jose/member.h"

/* Members that only a private or secret key has (RFC 7518 6.2.2, 6.3.2, 6.4). */
static const char *const secret_members[] = {
	"d",
	"p",
	"q",
	"dp",
	"dq",
	"qi",
	"oth",
	"k",
};

static void
append_quoted(StringInfo buf, const char *name, const JsonbValue *value)
{
	appendStringInfo(buf, "%c\"%s\":\"", buf->len == 0 ? '{' : ',', name);
	appendBinaryStringInfo(buf, value->val.string.val, value->val.string.len);
	appendStringInfoChar(buf, '"');
}

/*
 * RFC 7638 3: the required members in the order of their names, hashed. The values were
 * checked to be base64url or one of our own words, so none needs an escape.
 */
static bool
make_thumbprint(JsonbContainer *jwk, const char *const *names, JoseKey *key)
{
	StringInfoData buf;
	unsigned char hash[JOSE_MAX_HASH_BYTES];
	bool made;

	initStringInfo(&buf);
	for (; *names != NULL; names++)
	{
		JsonbValue value;

		if (!member_text(jwk, *names, &value))
			return false;
		append_quoted(&buf, *names, &value);
	}
	appendStringInfoChar(&buf, '}');
	made = evp_digest(JOSE_SHA256, buf.data, (size_t) buf.len, hash);
	OPENSSL_cleanse(buf.data, (size_t) buf.len);
	pfree(buf.data);
	if (!made)
		return false;
	key->thumbprint[b64url_encode(hash, 32, key->thumbprint)] = '\0';
	return true;
}

/*
 * Does key_ops, if there, list this operation? An array of strings, none of them twice
 * (RFC 7517 4.3); anything else makes the key useless.
 */
static bool
key_ops_allow(JsonbContainer *jwk, const char *operation)
{
	JsonbValue ops;
	JsonbContainer *array;
	uint32 n;
	bool found = false;

	if (!member_get(jwk, "key_ops", &ops))
		return true;
	if (ops.type != jbvBinary || !JsonContainerIsArray(ops.val.binary.data))
		return false;
	array = ops.val.binary.data;
	n = JsonContainerSize(array);
	/* RFC 7517 defines eight; a long list is not worth a sort */
	if (n > 16)
		return false;
	for (uint32 i = 0; i < n; i++)
	{
		JsonbValue *op = getIthJsonbValueFromContainer(array, i);

		if (op->type != jbvString)
			return false;
		for (uint32 j = 0; j < i; j++)
		{
			JsonbValue *other = getIthJsonbValueFromContainer(array, j);

			if (op->val.string.len == other->val.string.len &&
				memcmp(op->val.string.val, other->val.string.val, op->val.string.len) == 0)
				return false;
		}
		found = found || member_text_is(op, operation);
	}
	return found;
}

/* use, key_ops, alg and kid: what may the key be used for? */
static void
read_purpose(JsonbContainer *jwk, bool with_private, JoseKey *key)
{
	JsonbValue value;
	uint32 allowed = key->suits;
	const char *why = NULL;

	if (allowed == 0)
		why = "The secret is shorter than the hash of any algorithm (RFC 7518 3.2).";

	if (member_get(jwk, "use", &value) && !member_text_is(&value, "sig"))
	{
		allowed = 0;
		why = "Its use is not \"sig\".";
	}
	if (member_get(jwk, "alg", &value))
	{
		if (value.type == jbvString)
			key->alg = jose_algorithm_by_name(value.val.string.val, value.val.string.len);
		if ((key->suits & key->alg) == 0)
			why = "Its alg is no signature algorithm that suits its type, curve and size.";
		allowed &= key->alg;
	}
	if (member_get(jwk, "kid", &value))
	{
		if (value.type == jbvString && value.val.string.len <= JOSE_MAX_KID_BYTES)
			key->kid = pnstrdup(value.val.string.val, value.val.string.len);
		else
		{
			allowed = 0;
			why = "Its kid is not a string of at most 1 KiB.";
		}
	}
	if (key_ops_allow(jwk, "verify"))
		key->verifies = allowed;
	else if (allowed != 0)
		why = "Its key_ops are not an array of different strings with \"verify\" among them.";
	key->no_verify = key->verifies == 0 ? why : NULL;
	if (with_private && key_ops_allow(jwk, "sign"))
		key->signs = allowed;
}

/* The material, without a look at what it may be used for. */
static const char *
read_material(JsonbContainer *jwk, bool with_private, JoseKey *key)
{
	static const char *const rsa_members[] = {"e", "kty", "n", NULL};
	static const char *const ec_members[] = {"crv", "kty", "x", "y", NULL};
	static const char *const okp_members[] = {"crv", "kty", "x", NULL};
	static const char *const oct_members[] = {"k", "kty", NULL};
	const char *const *members;
	const char *error;
	JsonbValue kty;

	if (!JsonContainerIsObject(jwk))
		return "A key must be a JSON object.";
	if (!member_text(jwk, "kty", &kty))
		return "The key has no kty.";
	if (member_text_is(&kty, "RSA"))
	{
		members = rsa_members;
		error = material_read_rsa(jwk, with_private, key);
	}
	else if (member_text_is(&kty, "EC"))
	{
		members = ec_members;
		error = material_read_ec(jwk, with_private, key);
	}
	else if (member_text_is(&kty, "OKP"))
	{
		members = okp_members;
		error = material_read_okp(jwk, with_private, key);
	}
	else if (member_text_is(&kty, "oct"))
	{
		members = oct_members;
		error = material_read_oct(jwk, key);
	}
	else
		return "The kty of the key is none of RSA, EC, OKP and oct.";

	if (error != NULL)
	{
		ERR_clear_error();
		return error;
	}
	if (!make_thumbprint(jwk, members, key))
		return "The thumbprint of the key could not be made.";
	return NULL;
}

bool
jwk_read(JsonbContainer *jwk, bool with_private, JoseKey *key, const char **error)
{
	*error = read_material(jwk, with_private, key);
	if (*error == NULL)
		read_purpose(jwk, with_private, key);
	return *error == NULL;
}

bool
jwk_read_thumbprint(JsonbContainer *jwk, JoseKey *key, const char **error)
{
	*error = read_material(jwk, false, key);
	return *error == NULL;
}

const char *
jwk_secret_member(JsonbContainer *jwk)
{
	JsonbValue value;

	for (size_t i = 0; i < lengthof(secret_members); i++)
	{
		if (member_get(jwk, secret_members[i], &value))
			return secret_members[i];
	}
	if (member_text(jwk, "kty", &value) && member_text_is(&value, "oct"))
		return "kty";
	return NULL;
}
