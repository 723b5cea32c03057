/*
 * src/jose/jws.c
 *		A compact JWS (RFC 7515): taken apart, header rules, choice of the key, signature.
 *
 * No claim is looked at here. The signature is checked over the received characters,
 * never over a re-encoded form.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "compat.h"
#include "jose/jose.h"
#include "jose/b64.h"
#include "jose/evp.h"
#include "jose/json.h"
#include "jose/to_jsonb.h"

bool
json_text_is_valid(const char *text, size_t len, int max_depth, bool unique_members)
{
	JsonRules rules;

	rules.max_depth = max_depth;
	rules.unique_members = unique_members;
	/* jsonb_in() raises an error when the database encoding lacks a character */
	rules.ascii_only = GetDatabaseEncoding() != PG_UTF8;
	return json_check(text, len, &rules);
}

/* Decode one part into palloc'd memory, with a NUL behind it. */
static bool
decode_part(const char *part, size_t len, unsigned char **out, size_t *out_len)
{
	*out = palloc(B64URL_DECODED_MAX(len) + 1);
	if (!b64url_decode(part, len, *out, out_len))
		return false;
	(*out)[*out_len] = '\0';
	return true;
}

/* A JSON object under the strict rules; text ends with a NUL behind its len bytes. */
static bool
parse_object(const unsigned char *text, size_t len, Jsonb **out)
{
	if (!json_text_is_valid((const char *) text, len, JOSE_MAX_JSON_DEPTH, true))
		return false;
	*out = json_object_to_jsonb((const char *) text, len);
	return *out != NULL;
}

/*
 * An issuer's tokens have few different headers: the latest ones of all, parsed. What is found was
 * valid when it was parsed, of the same characters.
 */
#define N_HEADERS 8
#define MAX_HEADER_BYTES 512

static struct
{
	size_t len;
	char encoded[MAX_HEADER_BYTES];
	Jsonb *parsed;
} headers[N_HEADERS];
static int next_header = 0;

static void
remember_header(const char *encoded, size_t len, const Jsonb *parsed)
{
	Jsonb *copy;

	if (len > MAX_HEADER_BYTES)
		return;
	copy = MemoryContextAlloc(TopMemoryContext, VARSIZE(parsed));
	memcpy(copy, parsed, VARSIZE(parsed));
	if (headers[next_header].parsed != NULL)
		pfree(headers[next_header].parsed);
	headers[next_header].parsed = copy;
	headers[next_header].len = len;
	memcpy(headers[next_header].encoded, encoded, len);
	next_header = (next_header + 1) % N_HEADERS;
}

static bool
read_header(const char *encoded, size_t len, Jsonb **out)
{
	unsigned char *text;
	size_t text_len;

	for (int i = 0; i < N_HEADERS; i++)
	{
		const Jsonb *known = headers[i].parsed;

		if (known == NULL || headers[i].len != len || memcmp(headers[i].encoded, encoded, len) != 0)
			continue;
		*out = palloc(VARSIZE(known));
		memcpy(*out, known, VARSIZE(known));
		return true;
	}
	if (!decode_part(encoded, len, &text, &text_len) || !parse_object(text, text_len, out))
		return false;
	remember_header(encoded, len, *out);
	return true;
}

static JoseStatus
split_token(const char *token, size_t len, JwsParts *parts)
{
	if (len > JOSE_MAX_TOKEN_BYTES)
		return JOSE_TOO_LARGE;
	return jws_split(token, len, parts) ? JOSE_OK : JOSE_MALFORMED;
}

/* A header member: absent is fine and leaves *text NULL, another type than string is not. */
static bool
header_text(JsonbContainer *header, const char *name, const char **text, size_t *text_len)
{
	JsonbValue value;

	*text = NULL;
	*text_len = 0;
	if (getKeyJsonValueFromContainer(header, name, (int) strlen(name), &value) == NULL)
		return true;
	if (value.type != jbvString)
		return false;
	*text = pnstrdup(value.val.string.val, value.val.string.len);
	*text_len = (size_t) value.val.string.len;
	return true;
}

static bool
header_has(JsonbContainer *header, const char *name)
{
	JsonbValue value;

	return getKeyJsonValueFromContainer(header, name, (int) strlen(name), &value) != NULL;
}

/*
 * The rules of the header. jku, jwk, x5u and x5c are not looked at: a token never
 * brings its own key (RFC 8725 3.10).
 */
JoseStatus
jws_read_header(JwsToken *token)
{
	JsonbContainer *header = &token->header->root;
	const char *alg;
	const char *cty;
	size_t alg_len, len;

	if (!header_text(header, "alg", &alg, &alg_len) || alg == NULL)
		return JOSE_HEADER;
	/* no extension is understood, so no crit can be obeyed (RFC 7515 4.1.11) */
	if (header_has(header, "crit") || header_has(header, "b64"))
		return JOSE_HEADER;
	if (!header_text(header, "kid", &token->kid, &len) || len > JOSE_MAX_KID_BYTES ||
		!header_text(header, "typ", &token->typ, &len) || !header_text(header, "cty", &cty, &len))
		return JOSE_HEADER;
	/* a nested JWT (RFC 7519 5.2) */
	if (cty != NULL &&
		(pg_strcasecmp(cty, "JWT") == 0 || pg_strcasecmp(cty, "application/JWT") == 0))
		return JOSE_HEADER;
	token->algorithm = jose_algorithm_by_name(alg, alg_len);
	return token->algorithm == 0 ? JOSE_ALGORITHM : JOSE_OK;
}

JoseStatus
jws_decode(const char *token, size_t len, JwsToken *out)
{
	JwsParts parts;
	JoseStatus status;

	memset(out, 0, sizeof(*out));
	status = split_token(token, len, &parts);
	if (status != JOSE_OK)
		return status;
	if (!read_header(parts.header, parts.header_len, &out->header) ||
		!decode_part(parts.payload, parts.payload_len, &out->payload, &out->payload_len) ||
		!decode_part(parts.signature, parts.signature_len, &out->signature, &out->signature_len))
		return JOSE_MALFORMED;
	out->signing_input = token;
	out->signing_input_len = parts.header_len + 1 + parts.payload_len;
	return jws_read_header(out);
}

JoseStatus
jws_peek(const char *token, size_t len, Jsonb **header, Jsonb **payload)
{
	JwsParts parts;
	unsigned char *text;
	size_t text_len;
	JoseStatus status;

	status = split_token(token, len, &parts);
	if (status != JOSE_OK)
		return status;
	if (header != NULL && !read_header(parts.header, parts.header_len, header))
		return JOSE_MALFORMED;
	if (payload != NULL && (!decode_part(parts.payload, parts.payload_len, &text, &text_len) ||
							!parse_object(text, text_len, payload)))
		return JOSE_MALFORMED;
	return JOSE_OK;
}

/* What the set has for a token. The same key published twice counts once. */
typedef struct KeyChoice
{
	bool kid_known;			/* some key has the token's kid */
	int n_fitting;			/* different keys that the rule leaves; 2 stands for more too */
	const JoseKey *fitting; /* the first of them */
} KeyChoice;

/*
 * The kid rule: a token with a kid is for the key of this kid; when no key of the set has it, for
 * a key without a kid. A token without a kid is for any key. Exactly one key must be left whose
 * use and alg allow the token's algorithm. Keys are never tried one after another: then a
 * token could be accepted under a key that it does not name.
 */
static KeyChoice
choose_key(const JwsToken *token, const JoseKeySet *set)
{
	KeyChoice choice = {false, 0, NULL};

	for (int i = 0; token->kid != NULL && i < jose_keyset_size(set); i++)
	{
		const char *kid = jose_key_kid(jose_keyset_key(set, i));

		choice.kid_known = choice.kid_known || (kid != NULL && strcmp(kid, token->kid) == 0);
	}
	for (int i = 0; i < jose_keyset_size(set); i++)
	{
		const JoseKey *key = jose_keyset_key(set, i);

		if ((key->verifies & token->algorithm) == 0)
			continue;
		if (token->kid != NULL &&
			(choice.kid_known ? key->kid == NULL || strcmp(key->kid, token->kid) != 0
							  : key->kid != NULL))
			continue;
		if (choice.n_fitting == 0)
		{
			choice.fitting = key;
			choice.n_fitting = 1;
		}
		else if (strcmp(choice.fitting->thumbprint, key->thumbprint) != 0)
			choice.n_fitting = 2;
	}
	return choice;
}

char *
jws_key_problem(const JwsToken *token, const JoseKeySet *set)
{
	KeyChoice choice = choose_key(token, set);
	int n = jose_keyset_size(set);
	const char *alg = jose_algorithm_name(token->algorithm);

	if (n == 0)
		return pstrdup("The key set has no key that can be used.");
	if (choice.n_fitting > 1)
		return psprintf(
			token->kid == NULL
				? "The token has no kid, and more than one of the %d usable keys fits %s."
			: choice.kid_known
				? "More than one of the %d usable keys has the token's kid and fits %s."
				: "None of the %d usable keys has the token's kid, and more than one without a kid "
				  "fits %s.",
			n,
			alg);
	if (token->kid == NULL)
		return n == 1 ? psprintf("The only usable key does not fit %s.", alg)
					  : psprintf("None of the %d usable keys fits %s.", n, alg);
	if (choice.kid_known)
		return psprintf("The key that has the token's kid does not fit %s.", alg);
	return n == 1 ? pstrdup("The only usable key does not have the token's kid.")
				  : psprintf("None of the %d usable keys has the token's kid.", n);
}

JoseStatus
jws_verify(const JwsToken *token, const JoseKeySet *set, uint32 algorithms, const JoseKey **key)
{
	const JoseAlgorithm *alg;
	KeyChoice choice;
	int index = jose_algorithm_index(token->algorithm);

	if (key != NULL)
		*key = NULL;
	if (index < 0 || (token->algorithm & algorithms) == 0)
		return JOSE_ALGORITHM;
	alg = &jose_algorithms[index];
	choice = choose_key(token, set);
	if (choice.n_fitting != 1)
		return JOSE_KEY_NOT_FOUND;
	if (!evp_verify(choice.fitting,
					alg,
					token->signing_input,
					token->signing_input_len,
					token->signature,
					token->signature_len))
		return JOSE_SIGNATURE;
	if (key != NULL)
		*key = choice.fitting;
	return JOSE_OK;
}

JoseStatus
jwt_payload(const JwsToken *token, Jsonb **claims)
{
	return parse_object(token->payload, token->payload_len, claims) ? JOSE_OK : JOSE_MALFORMED;
}
