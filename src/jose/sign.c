/*
 * src/jose/sign.c
 *		Making a signed JWT: the header; libjwt for RS*, ES* and HS* at a key's first use, EVP after that
 *		and for the rest.
 *
 * libjwt keeps numbers as C longs and doubles, and its series 1 parses the key's PEM for each signature.
 * Its token is read back and taken only if header and payload are what they should be and the
 * signature fits; else EVP signs our own text. A key signs on without being
 * verified once a signature of it was.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/json.h"

#include "compat.h"
#include "jose/jose.h"
#include "jose/b64.h"
#include "jose/evp.h"
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

/* bit, else the key's own, else what suits the key best; NULL when none may be used. */
static const JoseAlgorithm *
choose_algorithm(const JoseKey *key, uint32 bit)
{
	int index;

	if (bit == 0)
		bit = key->alg;
	if (bit == 0 && key->type == JOSE_KEY_RSA)
		bit = JOSE_RS256;
	else if (bit == 0 && key->type == JOSE_KEY_OCT)
		bit = key->size >= 64 ? JOSE_HS512 : key->size >= 48 ? JOSE_HS384 : JOSE_HS256;
	else if (bit == 0)
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

/* Why a token cannot be made; every caller gives these. */
static char *
refuse(int sqlstate, const char *sentence, int *out_sqlstate, const char **error)
{
	*out_sqlstate = sqlstate;
	*error = sentence;
	return NULL;
}

static Jsonb *
parse_json(const char *text)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

/*
 * The first signature of a key with an algorithm is libjwt's, where it can, and is verified: after that the
 * parts of the key are known to belong together, and EVP signs with what it has parsed.
 */
static char *
sign_first(JoseKey *key, const JoseAlgorithm *alg, const char *header, const char *payload)
{
	Jsonb *header_json = parse_json(header);
	Jsonb *payload_json = parse_json(payload);
	char *token = libjwt_sign(key, alg, header, payload);

	if (token == NULL || !token_is_right(token, header_json, payload_json, key, alg))
	{
		token = sign_with_evp(key, alg, header, payload);
		if (token == NULL || !token_is_right(token, header_json, payload_json, key, alg))
			return NULL;
	}
	key->proved |= alg->bit;
	return token;
}

/* Header and payload are JSON texts; the header follows the rules of src/jose/jws.c. */
static char *
sign_texts(JoseKey *key, const JoseAlgorithm *alg, const char *header, const char *payload,
		   int *sqlstate, const char **error)
{
	size_t header_len = strlen(header);
	size_t payload_len = strlen(payload);
	char *token;

	/* base64 makes 4 characters of 3 bytes; the signature is small beside it */
	if (header_len + payload_len > JOSE_MAX_TOKEN_BYTES)
		return refuse(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
					  "The token would be larger than 64 KiB.",
					  sqlstate,
					  error);
	if (!json_text_is_valid(header, header_len, JOSE_MAX_JSON_DEPTH, true) ||
		!json_text_is_valid(payload, payload_len, JOSE_MAX_JSON_DEPTH, true))
		return refuse(ERRCODE_INVALID_PARAMETER_VALUE,
					  "Header or payload are such that no token with them would be accepted.",
					  sqlstate,
					  error);
	token = (key->proved & alg->bit) == 0 ? sign_first(key, alg, header, payload)
										  : sign_with_evp(key, alg, header, payload);
	if (token == NULL)
		return refuse(ERRCODE_INVALID_PARAMETER_VALUE,
					  "The key's members contradict each other.",
					  sqlstate,
					  error);
	if (strlen(token) > JOSE_MAX_TOKEN_BYTES)
		return refuse(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
					  "The token would be larger than 64 KiB.",
					  sqlstate,
					  error);
	return token;
}

char *
jose_sign_text(JoseKey *signer, uint32 algorithm, const char *typ, const char *payload,
			   int *sqlstate, const char **error)
{
	const JoseAlgorithm *alg = choose_algorithm(signer, algorithm);
	StringInfoData header;

	if (alg == NULL)
		return refuse(ERRCODE_INVALID_PARAMETER_VALUE,
					  "The key may not be used for signing, or not with this algorithm.",
					  sqlstate,
					  error);
	initStringInfo(&header);
	appendStringInfo(&header, "{\"alg\":\"%s\",\"typ\":", alg->name);
	escape_json(&header, typ);
	if (signer->kid != NULL)
	{
		appendStringInfoString(&header, ",\"kid\":");
		escape_json(&header, signer->kid);
	}
	appendStringInfoChar(&header, '}');
	return sign_texts(signer, alg, header.data, payload, sqlstate, error);
}

char *
jose_sign_jwt(Jsonb *payload, Jsonb *jwk, Jsonb *header, int *sqlstate, const char **error)
{
	JoseKey *key = jose_signer_find(jwk, VARSIZE(jwk));
	const JoseAlgorithm *alg;
	JwsToken token = {0};
	JsonbValue given;
	uint32 bit = 0;

	if (key == NULL)
		key = jose_signer_add(jwk, VARSIZE(jwk), jwk, error);
	if (key == NULL)
		return refuse(ERRCODE_INVALID_TEXT_REPRESENTATION, *error, sqlstate, error);
	if (!JB_ROOT_IS_OBJECT(payload) || (header != NULL && !JB_ROOT_IS_OBJECT(header)))
		return refuse(ERRCODE_INVALID_PARAMETER_VALUE,
					  "Payload and header must be JSON objects.",
					  sqlstate,
					  error);
	if (header != NULL && getKeyJsonValueFromContainer(&header->root, "alg", 3, &given) != NULL)
	{
		if (given.type == jbvString)
			bit = jose_algorithm_by_name(given.val.string.val, given.val.string.len);
		alg = bit == 0 ? NULL : choose_algorithm(key, bit);
	}
	else
		alg = choose_algorithm(key, 0);
	if (alg == NULL)
		return refuse(ERRCODE_INVALID_PARAMETER_VALUE,
					  "The key may not be used for signing, or not with this algorithm.",
					  sqlstate,
					  error);
	token.header = make_header(key, alg, header);
	if (jws_read_header(&token) != JOSE_OK)
		return refuse(ERRCODE_INVALID_PARAMETER_VALUE,
					  "Header or payload are such that no token with them would be accepted.",
					  sqlstate,
					  error);
	return sign_texts(key,
					  alg,
					  header_text(token.header),
					  JsonbToCString(NULL, &payload->root, VARSIZE(payload)),
					  sqlstate,
					  error);
}
