/*
 * src/jose/sign.c
 *		Making a signed JWT: the header, then libjwt for RS*, ES* and HS*, EVP for the rest.
 *
 * libjwt keeps numbers as C longs and doubles. Its token is therefore read back and taken
 * only if header and payload are what they should be and the signature fits; else
 * EVP signs our own text. Nothing is returned that was not verified with the same key.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/json.h"

#include "compat.h"
#include "jose/jose.h"
#include "jose/b64.h"
#include "jose/evp.h"
#include "jose/jwk.h"
#include "jose/libjwt.h"

/* One member of the header; first tells whether a comma is needed. */
static void
append_member(StringInfo buf, const char *name, int name_len, JsonbValue *value)
{
	Jsonb *json = JsonbValueToJsonb(value);

	appendStringInfoChar(buf, buf->len == 0 ? '{' : ',');
	escape_json(buf, pnstrdup(name, name_len));
	appendStringInfoChar(buf, ':');
	(void) JsonbToCString(buf, &json->root, VARSIZE(json));
}

/* The header as text: alg, typ and kid first, as people expect to see them. */
static char *
header_text(Jsonb *header)
{
	static const char *const first[] = {"alg", "typ", "kid"};
	StringInfoData buf;
	JsonbIterator *it = JsonbIteratorInit(&header->root);
	JsonbIteratorToken token;
	JsonbValue key, value;

	initStringInfo(&buf);
	for (size_t i = 0; i < lengthof(first); i++)
	{
		if (getKeyJsonValueFromContainer(&header->root, first[i], 3, &value) != NULL)
			append_member(&buf, first[i], 3, &value);
	}
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		bool is_first = false;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		for (size_t i = 0; i < lengthof(first); i++)
			is_first = is_first ||
					   (key.val.string.len == 3 && memcmp(key.val.string.val, first[i], 3) == 0);
		if (!is_first)
			append_member(&buf, key.val.string.val, key.val.string.len, &value);
	}
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

static void
push_text(JsonbInState *state, const char *name, const char *text)
{
	JsonbValue value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, name);
	value.val.string.len = (int) strlen(name);
	pushJsonbValue(state, WJB_KEY, &value);
	value.val.string.val = unconstify(char *, text);
	value.val.string.len = (int) strlen(text);
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* The defaults with the caller's members over them. */
static Jsonb *
make_header(const JoseKey *key, const JoseAlgorithm *alg, Jsonb *given)
{
	JsonbInState state = {0};
	Jsonb *header;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_text(&state, "alg", alg->name);
	push_text(&state, "typ", "JWT");
	if (key->kid != NULL)
		push_text(&state, "kid", key->kid);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	header = JsonbValueToJsonb(state.result);
	if (given == NULL)
		return header;
	return DatumGetJsonbP(
		DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(header), JsonbPGetDatum(given)));
}

/* The header's alg, else the key's, else what suits the key best; NULL when none may be used. */
static const JoseAlgorithm *
choose_algorithm(const JoseKey *key, Jsonb *header)
{
	JsonbValue value;
	uint32 bit = 0;
	int index;

	if (header != NULL && getKeyJsonValueFromContainer(&header->root, "alg", 3, &value) != NULL)
	{
		if (value.type == jbvString)
			bit = jose_algorithm_by_name(value.val.string.val, value.val.string.len);
	}
	else if (key->alg != 0)
		bit = key->alg;
	else if (key->type == JOSE_KEY_RSA)
		bit = JOSE_RS256;
	else if (key->type == JOSE_KEY_OCT)
		bit = key->size >= 64 ? JOSE_HS512 : key->size >= 48 ? JOSE_HS384 : JOSE_HS256;
	else
		bit = key->suits;
	index = jose_algorithm_index(bit);
	return index < 0 || (key->signs & bit) == 0 ? NULL : &jose_algorithms[index];
}

/* Is this a token that our own rules take, with this header, payload and a fitting signature? */
static bool
token_is_right(const char *token, Jsonb *header, Jsonb *payload, const JoseKey *key,
			   const JoseAlgorithm *alg)
{
	JwsToken decoded;
	Jsonb *claims;

	return jws_decode(token, strlen(token), &decoded) == JOSE_OK && decoded.algorithm == alg->bit &&
		   jwt_payload(&decoded, &claims) == JOSE_OK &&
		   compareJsonbContainers(&decoded.header->root, &header->root) == 0 &&
		   compareJsonbContainers(&claims->root, &payload->root) == 0 &&
		   evp_verify(key,
					  alg,
					  decoded.signing_input,
					  decoded.signing_input_len,
					  decoded.signature,
					  decoded.signature_len);
}

static void
append_base64url(StringInfo buf, const void *data, size_t len)
{
	enlargeStringInfo(buf, (int) B64URL_ENCODED_LEN(len) + 1);
	buf->len += (int) b64url_encode(data, len, buf->data + buf->len);
	buf->data[buf->len] = '\0';
}

static char *
sign_with_evp(const JoseKey *key, const JoseAlgorithm *alg, const char *header, const char *payload)
{
	StringInfoData buf;
	unsigned char signature[JOSE_MAX_SIGNATURE_BYTES];
	size_t signature_len;

	initStringInfo(&buf);
	append_base64url(&buf, header, strlen(header));
	appendStringInfoChar(&buf, '.');
	append_base64url(&buf, payload, strlen(payload));
	if (!evp_sign(key, alg, buf.data, (size_t) buf.len, signature, &signature_len))
		return NULL;
	appendStringInfoChar(&buf, '.');
	append_base64url(&buf, signature, signature_len);
	return buf.data;
}

char *
jose_sign_jwt(Jsonb *payload, Jsonb *jwk, Jsonb *header, int *sqlstate, const char **error)
{
	JoseKey *key = key_make();
	const JoseAlgorithm *alg;
	char *header_json;
	char *payload_json;
	char *token;

	if (!jwk_read(&jwk->root, true, key, error))
	{
		*sqlstate = ERRCODE_INVALID_TEXT_REPRESENTATION;
		return NULL;
	}
	*sqlstate = ERRCODE_INVALID_PARAMETER_VALUE;
	if (!JB_ROOT_IS_OBJECT(payload) || (header != NULL && !JB_ROOT_IS_OBJECT(header)))
	{
		*error = "Payload and header must be JSON objects.";
		return NULL;
	}
	alg = choose_algorithm(key, header);
	if (alg == NULL)
	{
		*error = "The key may not be used for signing, or not with this algorithm.";
		return NULL;
	}
	header = make_header(key, alg, header);
	header_json = header_text(header);
	payload_json = JsonbToCString(NULL, &payload->root, VARSIZE(payload));
	/* base64 makes 4 characters of 3 bytes; the signature is small beside it */
	if (strlen(header_json) + strlen(payload_json) > JOSE_MAX_TOKEN_BYTES)
	{
		*sqlstate = ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		*error = "The token would be larger than 64 KiB.";
		return NULL;
	}

	token = libjwt_sign(key, alg, header_json, payload_json);
	if (token == NULL || !token_is_right(token, header, payload, key, alg))
		token = sign_with_evp(key, alg, header_json, payload_json);
	if (token != NULL && strlen(token) > JOSE_MAX_TOKEN_BYTES)
	{
		*sqlstate = ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		*error = "The token would be larger than 64 KiB.";
		return NULL;
	}
	if (token == NULL || !token_is_right(token, header, payload, key, alg))
	{
		*error = "The key's members contradict each other, or header or payload are such that "
				 "no token with them would be accepted.";
		return NULL;
	}
	return token;
}
