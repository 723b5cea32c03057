/*
 * src/jose/jose.c
 *		The SQL functions of the jose layer: jws_*, jwt_* and jwk_*.
 *
 * Arguments are checked here and nowhere else; the only file of the layer beside
 * src/jose/status.c that raises errors. None of them shows what is in a token or key, and all
 * hide the statement, which may hold one.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "jose/jose.h"
#include "jose/cache.h"
#include "jose/jwk.h"

/* Leeway beyond this (some 60000 years) is as good as this; sums stay in range. */
#define LEEWAY_CAP_USECS INT64CONST(2000000000000000000)

PG_FUNCTION_INFO_V1(smart_jws_verify);
PG_FUNCTION_INFO_V1(smart_jwt_verify);
PG_FUNCTION_INFO_V1(smart_jwt_header);
PG_FUNCTION_INFO_V1(smart_jwt_payload);
PG_FUNCTION_INFO_V1(smart_jwt_sign);
PG_FUNCTION_INFO_V1(smart_jwk_thumbprint);

static void
raise_argument(int sqlstate, const char *parameter, const char *detail)
{
	ereport(ERROR,
			errcode(sqlstate),
			errmsg("invalid value for parameter \"%s\"", parameter),
			errdetail("%s", detail),
			errhidestmt(true),
			errhidecontext(true));
}

/* The elements of a text[] argument; at least one, none NULL. Each is palloc'd. */
static char **
text_array(ArrayType *array, const char *parameter, int *n)
{
	Datum *elements;
	bool *nulls;
	char **texts;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, n);
	if (*n == 0)
		raise_argument(ERRCODE_INVALID_PARAMETER_VALUE, parameter, "The array must not be empty.");
	texts = palloc(sizeof(char *) * (size_t) *n);
	for (int i = 0; i < *n; i++)
	{
		if (nulls[i])
			raise_argument(ERRCODE_NULL_VALUE_NOT_ALLOWED,
						   parameter,
						   "The array must not have null elements.");
		texts[i] = TextDatumGetCString(elements[i]);
	}
	return texts;
}

/* algorithms: the bits of the names; all when NULL. */
static uint32
algorithms_argument(FunctionCallInfo fcinfo, int arg)
{
	uint32 bits = 0;
	char **names;
	int n;

	if (PG_ARGISNULL(arg))
		return JOSE_ALL;
	names = text_array(PG_GETARG_ARRAYTYPE_P(arg), "algorithms", &n);
	for (int i = 0; i < n; i++)
	{
		uint32 bit = jose_algorithm_by_name(names[i], strlen(names[i]));

		if (bit == 0)
			raise_argument(ERRCODE_INVALID_PARAMETER_VALUE,
						   "algorithms",
						   "Known are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, "
						   "ES512, EdDSA, HS256, HS384 and HS512.");
		bits |= bit;
	}
	return bits;
}

/* leeway in microseconds: not negative, and of a length that does not depend on the date. */
static int64
leeway_argument(Interval *leeway)
{
	int64 usecs;

	if (leeway->month != 0)
		raise_argument(ERRCODE_INVALID_PARAMETER_VALUE,
					   "leeway",
					   "The leeway must be finite and without months or years.");
	/* where the sum does not fit, the days outweigh the time of day */
	if (pg_mul_s64_overflow(leeway->day, USECS_PER_DAY, &usecs) ||
		pg_add_s64_overflow(usecs, leeway->time, &usecs))
		usecs = leeway->day < 0 ? -1 : LEEWAY_CAP_USECS;
	if (usecs < 0)
		raise_argument(
			ERRCODE_INVALID_PARAMETER_VALUE, "leeway", "The leeway must not be negative.");
	return Min(usecs, LEEWAY_CAP_USECS);
}

/* Argument 0, a token that is not NULL; not unpacked before its size is known. */
static text *
token_argument(FunctionCallInfo fcinfo)
{
	if (toast_raw_datum_size(PG_GETARG_DATUM(0)) > JOSE_MAX_TOKEN_BYTES + VARHDRSZ)
		jose_raise(JOSE_TOO_LARGE);
	return PG_GETARG_TEXT_PP(0);
}

/*
 * Arguments 0 and 1, token and jwks: take the token apart and verify it. The functions are
 * not strict: NULL for an answer could be taken for a yes.
 */
static void
verify_arguments(FunctionCallInfo fcinfo, uint32 algorithms, JwsToken *token)
{
	text *token_text;
	const JoseKeySet *set;
	const char *error;
	JoseStatus status;

	if (PG_ARGISNULL(1))
		raise_argument(ERRCODE_NULL_VALUE_NOT_ALLOWED, "jwks", "The key set must not be null.");
	if (PG_ARGISNULL(0))
		jose_raise(JOSE_MALFORMED);
	token_text = token_argument(fcinfo);
	status = jws_decode(VARDATA_ANY(token_text), VARSIZE_ANY_EXHDR(token_text), token);
	if (status != JOSE_OK)
		jose_raise(status);
	set = keyset_cache_get(PG_GETARG_JSONB_P(1), &error);
	if (set == NULL)
		jose_raise_detail(JOSE_KEY_NOT_FOUND, error, NULL);
	status = jws_verify(token, set, algorithms, NULL);
	if (status == JOSE_KEY_NOT_FOUND)
		jose_raise_detail(status, jws_key_problem(token, set), NULL);
	if (status != JOSE_OK)
		jose_raise(status);
}

Datum
smart_jws_verify(PG_FUNCTION_ARGS)
{
	JwsToken token;
	bytea *payload;

	verify_arguments(fcinfo, algorithms_argument(fcinfo, 2), &token);
	payload = palloc(VARHDRSZ + token.payload_len);
	SET_VARSIZE(payload, VARHDRSZ + token.payload_len);
	memcpy(VARDATA(payload), token.payload, token.payload_len);
	PG_RETURN_BYTEA_P(payload);
}

Datum
smart_jwt_verify(PG_FUNCTION_ARGS)
{
	JwtRules rules;
	JwsToken token;
	Jsonb *claims;
	uint32 algorithms;
	JoseStatus status;

	memset(&rules, 0, sizeof(rules));
	rules.exp_required = true;
	if (!PG_ARGISNULL(2))
		rules.issuer = text_to_cstring(PG_GETARG_TEXT_PP(2));
	if (!PG_ARGISNULL(3))
		rules.audience = text_array(PG_GETARG_ARRAYTYPE_P(3), "audience", &rules.n_audience);
	algorithms = algorithms_argument(fcinfo, 4);
	if (!PG_ARGISNULL(5))
		rules.leeway_usecs = leeway_argument(PG_GETARG_INTERVAL_P(5));
	if (PG_ARGISNULL(6))
		rules.now = GetCurrentTimestamp();
	else
	{
		rules.now = PG_GETARG_TIMESTAMPTZ(6);
		if (TIMESTAMP_NOT_FINITE(rules.now))
			raise_argument(ERRCODE_INVALID_PARAMETER_VALUE, "at", "The time must be finite.");
	}

	verify_arguments(fcinfo, algorithms, &token);
	status = jwt_payload(&token, &claims);
	if (status == JOSE_OK)
		status = jwt_check_claims(claims, &rules, NULL);
	if (status != JOSE_OK)
		jose_raise(status);
	PG_RETURN_JSONB_P(claims);
}

Datum
smart_jwt_header(PG_FUNCTION_ARGS)
{
	text *token = token_argument(fcinfo);
	Jsonb *header;
	JoseStatus status;

	status = jws_peek(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), &header, NULL);
	if (status != JOSE_OK)
		jose_raise(status);
	PG_RETURN_JSONB_P(header);
}

Datum
smart_jwt_payload(PG_FUNCTION_ARGS)
{
	text *token = token_argument(fcinfo);
	Jsonb *payload;
	JoseStatus status;

	status = jws_peek(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), NULL, &payload);
	if (status != JOSE_OK)
		jose_raise(status);
	PG_RETURN_JSONB_P(payload);
}

Datum
smart_jwt_sign(PG_FUNCTION_ARGS)
{
	const char *error = NULL;
	char *token;
	int sqlstate = 0;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		raise_argument(ERRCODE_NULL_VALUE_NOT_ALLOWED,
					   PG_ARGISNULL(0) ? "payload" : "jwk",
					   "The value must not be null.");
	token = jose_sign_jwt(PG_GETARG_JSONB_P(0),
						  PG_GETARG_JSONB_P(1),
						  PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2),
						  &sqlstate,
						  &error);
	if (token == NULL)
		ereport(ERROR,
				errcode(sqlstate),
				sqlstate == ERRCODE_INVALID_TEXT_REPRESENTATION
					? errmsg("invalid JSON Web Key")
					: errmsg("could not sign the token"),
				errdetail("%s", error),
				errhidestmt(true),
				errhidecontext(true));
	PG_RETURN_TEXT_P(cstring_to_text(token));
}

Datum
smart_jwk_thumbprint(PG_FUNCTION_ARGS)
{
	Jsonb *jwk = PG_GETARG_JSONB_P(0);
	JoseKey *key = key_make();
	const char *error;

	if (!jwk_read_thumbprint(&jwk->root, key, &error))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				errmsg("invalid JSON Web Key"),
				errdetail("%s", error),
				errhidestmt(true),
				errhidecontext(true));
	PG_RETURN_TEXT_P(cstring_to_text(jose_key_thumbprint(key)));
}
