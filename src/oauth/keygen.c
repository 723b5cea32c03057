/*
 * src/oauth/keygen.c
 *		New key pairs with OpenSSL, as JSON Web Keys. Knows nothing of where they are kept.
 */
#include "postgres.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "lib/stringinfo.h"
#include "utils/fmgrprotos.h"
#include "utils/builtins.h"

#include "compat.h"
#include "jose/b64.h"
#include "jose/jose.h"
#include "oauth/keygen.h"
#include "oauth/secret.h"

#define RSA_BITS 2048
#define MAX_NUMBER_BYTES (RSA_BITS / 8)

typedef struct KeyKind
{
	const char *algorithm;
	const char *kty;
	const char *crv; /* NULL: RSA */
	int width;		 /* of a coordinate; 0: RSA, whose numbers are as short as they can be */
} KeyKind;

static const KeyKind kinds[] = {
	{"RS256", "RSA", NULL, 0},
	{"RS384", "RSA", NULL, 0},
	{"ES256", "EC", "P-256", 32},
	{"ES384", "EC", "P-384", 48},
	{"EdDSA", "OKP", "Ed25519", 32},
};

static void
keygen_failed(EVP_PKEY *pkey)
{
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not make a key pair"));
}

static void
append_bytes(StringInfo buf, const char *name, const unsigned char *bytes, size_t len)
{
	char text[B64URL_ENCODED_LEN(MAX_NUMBER_BYTES) + 1];

	text[b64url_encode(bytes, len, text)] = '\0';
	appendStringInfo(buf, ",\"%s\":\"%s\"", name, text);
	secret_wipe(text, sizeof(text));
}

/* A number of the key as a member; width 0: without leading zeros. */
static void
append_number(StringInfo buf, const char *name, EVP_PKEY *pkey, const char *param, int width)
{
	unsigned char bytes[MAX_NUMBER_BYTES];
	BIGNUM *number = NULL;
	int len;

	if (EVP_PKEY_get_bn_param(pkey, param, &number) != 1)
		keygen_failed(pkey);
	len = width > 0 ? width : BN_num_bytes(number);
	if (len > MAX_NUMBER_BYTES || BN_bn2binpad(number, bytes, len) != len)
	{
		BN_clear_free(number);
		keygen_failed(pkey);
	}
	BN_clear_free(number);
	append_bytes(buf, name, bytes, (size_t) len);
	secret_wipe(bytes, sizeof(bytes));
}

static void
append_raw(StringInfo buf, const char *name, EVP_PKEY *pkey, bool private)
{
	unsigned char bytes[32];
	size_t len = sizeof(bytes);

	if ((private ? EVP_PKEY_get_raw_private_key(pkey, bytes, &len)
				 : EVP_PKEY_get_raw_public_key(pkey, bytes, &len)) != 1)
		keygen_failed(pkey);
	append_bytes(buf, name, bytes, len);
	secret_wipe(bytes, sizeof(bytes));
}

static Jsonb *
jsonb_from_text(const char *text)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

bool
keygen(const char *algorithm, NewKey *key)
{
	const KeyKind *kind = NULL;
	EVP_PKEY *pkey;
	StringInfoData buf;
	StringInfoData secret;
	JoseKeySet *set;
	const char *error;

	for (size_t i = 0; i < lengthof(kinds); i++)
		if (strcmp(kinds[i].algorithm, algorithm) == 0)
			kind = &kinds[i];
	if (kind == NULL)
		return false;
	if (kind->crv == NULL)
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) RSA_BITS);
	else if (strcmp(kind->kty, "EC") == 0)
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind->crv);
	else
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (pkey == NULL)
		keygen_failed(pkey);

	initStringInfo(&buf);
	appendStringInfo(&buf, "{\"kty\":\"%s\",\"use\":\"sig\",\"alg\":\"%s\"", kind->kty, algorithm);
	if (kind->crv == NULL)
	{
		append_number(&buf, "n", pkey, OSSL_PKEY_PARAM_RSA_N, 0);
		append_number(&buf, "e", pkey, OSSL_PKEY_PARAM_RSA_E, 0);
	}
	else
	{
		appendStringInfo(&buf, ",\"crv\":\"%s\"", kind->crv);
		if (strcmp(kind->kty, "EC") == 0)
		{
			append_number(&buf, "x", pkey, OSSL_PKEY_PARAM_EC_PUB_X, kind->width);
			append_number(&buf, "y", pkey, OSSL_PKEY_PARAM_EC_PUB_Y, kind->width);
		}
		else
			append_raw(&buf, "x", pkey, false);
	}
	set = jose_keyset_parse(jsonb_from_text(psprintf("%s}", buf.data)), true, &error);
	if (set == NULL || jose_keyset_size(set) != 1)
		keygen_failed(pkey);
	key->kid = pstrdup(jose_key_thumbprint(jose_keyset_key(set, 0)));
	appendStringInfo(&buf, ",\"kid\":\"%s\"", key->kid);
	key->public_jwk = jsonb_from_text(psprintf("%s}", buf.data));

	/* large enough from the start: growing would leave copies */
	initStringInfo(&secret);
	enlargeStringInfo(&secret, 8 * 1024);
	appendStringInfoString(&secret, buf.data);
	if (kind->crv == NULL)
	{
		append_number(&secret, "d", pkey, OSSL_PKEY_PARAM_RSA_D, 0);
		append_number(&secret, "p", pkey, OSSL_PKEY_PARAM_RSA_FACTOR1, 0);
		append_number(&secret, "q", pkey, OSSL_PKEY_PARAM_RSA_FACTOR2, 0);
		append_number(&secret, "dp", pkey, OSSL_PKEY_PARAM_RSA_EXPONENT1, 0);
		append_number(&secret, "dq", pkey, OSSL_PKEY_PARAM_RSA_EXPONENT2, 0);
		append_number(&secret, "qi", pkey, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, 0);
	}
	else if (strcmp(kind->kty, "EC") == 0)
		append_number(&secret, "d", pkey, OSSL_PKEY_PARAM_PRIV_KEY, kind->width);
	else
		append_raw(&secret, "d", pkey, true);
	appendStringInfoChar(&secret, '}');
	EVP_PKEY_free(pkey);
	key->private_text = secret.data;
	key->private_len = (size_t) secret.len;
	return true;
}
