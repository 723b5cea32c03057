/*
 * src/jose/claims.c
 *		The registered claims of RFC 7519: exp, nbf, iat, iss, aud.
 *
 * Returns a reason, raises nothing. Reads no clock: the caller says what time it is.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "compat.h"
#include "jose/jose.h"

/* 9999-12-31T23:59:59Z, the last second that a NumericDate may name here. */
#define LAST_SECOND INT64CONST(253402300799)

/* Seconds from the Unix epoch to PostgreSQL's. */
#define EPOCH_SHIFT_SECS ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

static int
compare_numeric(Numeric value, int64 with)
{
	return DatumGetInt32(DirectFunctionCall2(
		numeric_cmp, NumericGetDatum(value), NumericGetDatum(int64_to_numeric(with))));
}

/* A whole number from 0 to LAST_SECOND, as nearly all are. */
static bool
whole_seconds(Numeric value, int64 *seconds)
{
	char *digits = numeric_normalize(value);
	size_t len = strlen(digits);

	if (len > 12 || strspn(digits, "0123456789") != len)
		return false;
	*seconds = strtoi64(digits, NULL, 10);
	return *seconds <= LAST_SECOND;
}

/*
 * NumericDate to TimestampTz. Rounded up: for a clock of whole microseconds,
 * now >= exp and now >= ceil(exp) are the same, and so are now < nbf and now < ceil(nbf).
 * The value is within -LAST_SECOND and LAST_SECOND + 1.
 */
static TimestampTz
numeric_date(Numeric value)
{
	Datum usecs;

	usecs = DirectFunctionCall2(
		numeric_mul, NumericGetDatum(value), NumericGetDatum(int64_to_numeric(USECS_PER_SEC)));
	usecs = DirectFunctionCall1(numeric_ceil, usecs);
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, usecs)) -
		   EPOCH_SHIFT_SECS * USECS_PER_SEC;
}

/*
 * exp and iat: a number from 0 to LAST_SECOND. nbf: any number; one that is out of range
 * is as good as the limit itself.
 */
static bool
read_time(Jsonb *claims, const char *name, bool any_finite, bool *has, TimestampTz *time)
{
	JsonbValue value;
	Numeric number;
	int64 seconds;

	*has = false;
	*time = 0;
	if (getKeyJsonValueFromContainer(&claims->root, name, (int) strlen(name), &value) == NULL)
		return true;
	if (value.type != jbvNumeric)
		return false;
	number = value.val.numeric;
	if (numeric_is_nan(number))
		return false;
	if (whole_seconds(number, &seconds))
		*time = (seconds - EPOCH_SHIFT_SECS) * USECS_PER_SEC;
	else if (compare_numeric(number, 0) < 0)
	{
		if (!any_finite)
			return false;
		*time = compare_numeric(number, -LAST_SECOND) < 0 ? MIN_TIMESTAMP : numeric_date(number);
		*time = Max(*time, MIN_TIMESTAMP);
	}
	else if (compare_numeric(number, LAST_SECOND) > 0)
	{
		if (!any_finite)
			return false;
		/* may still be a fraction of a second behind the last one: later than all others */
		*time = numeric_date(int64_to_numeric(LAST_SECOND + 1));
	}
	else
		*time = numeric_date(number);
	*has = true;
	return true;
}

JoseStatus
jwt_times(Jsonb *claims, JwtTimes *out)
{
	if (!JB_ROOT_IS_OBJECT(claims) || !read_time(claims, "exp", false, &out->has_exp, &out->exp) ||
		!read_time(claims, "nbf", true, &out->has_nbf, &out->nbf) ||
		!read_time(claims, "iat", false, &out->has_iat, &out->iat))
		return JOSE_CLAIM_TYPE;
	return JOSE_OK;
}

static bool
text_equals(const JsonbValue *value, const char *text)
{
	return value->val.string.len == (int) strlen(text) &&
		   memcmp(value->val.string.val, text, value->val.string.len) == 0;
}

static bool
is_accepted_audience(const JsonbValue *value, int n, char *const *audience)
{
	for (int i = 0; i < n; i++)
	{
		if (text_equals(value, audience[i]))
			return true;
	}
	return false;
}

bool
jwt_audience_fits(Jsonb *claims, int n, char *const *audience)
{
	JsonbValue aud;
	JsonbValue item;
	JsonbIterator *it;
	JsonbIteratorToken token;
	bool found = false;

	if (getKeyJsonValueFromContainer(&claims->root, "aud", 3, &aud) == NULL)
		return false;
	if (aud.type == jbvString)
		return is_accepted_audience(&aud, n, audience);
	if (aud.type != jbvBinary || !JsonContainerIsArray(aud.val.binary.data))
		return false;
	it = JsonbIteratorInit(aud.val.binary.data);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (item.type != jbvString)
			return false;
		found = found || is_accepted_audience(&item, n, audience);
	}
	return found;
}

bool
jwt_issuer_fits(Jsonb *claims, const char *issuer)
{
	JsonbValue iss;

	return getKeyJsonValueFromContainer(&claims->root, "iss", 3, &iss) != NULL &&
		   iss.type == jbvString && text_equals(&iss, issuer);
}

bool
jwt_is_expired(const JwtTimes *times, TimestampTz now, int64 leeway_usecs)
{
	/* "on or after" (RFC 7519 4.1.4) */
	return times->has_exp && now >= times->exp + leeway_usecs;
}

bool
jwt_is_early(const JwtTimes *times, TimestampTz now, int64 leeway_usecs)
{
	return times->has_nbf && now < times->nbf - leeway_usecs;
}

JoseStatus
jwt_check_claims(Jsonb *claims, const JwtRules *rules, JwtTimes *times)
{
	JwtTimes own_times;
	JoseStatus status;

	if (times == NULL)
		times = &own_times;
	status = jwt_times(claims, times);
	if (status != JOSE_OK)
		return status;
	if (rules->issuer != NULL && !jwt_issuer_fits(claims, rules->issuer))
		return JOSE_ISSUER;
	if (rules->n_audience > 0 && !jwt_audience_fits(claims, rules->n_audience, rules->audience))
		return JOSE_AUDIENCE;
	/* a token without exp would never end */
	if (!times->has_exp && rules->exp_required)
		return JOSE_EXPIRED;
	if (jwt_is_expired(times, rules->now, rules->leeway_usecs))
		return JOSE_EXPIRED;
	if (jwt_is_early(times, rules->now, rules->leeway_usecs))
		return JOSE_NOT_YET_VALID;
	return JOSE_OK;
}
