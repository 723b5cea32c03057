/*
 * src/oauth/assertion.c
 *		Verifying the signed JWTs of clients. Knows nothing of clients themselves; raises nothing.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "jose/cache.h"
#include "oauth/assertion.h"
#include "oauth/json.h"

/*
 * Keys that nobody has the private half of in use (RFC 7515 A.2, RFC 7517 A.1, RFC 8037 A.1, and
 * the base point of P-384): what is signed by a client that does not exist, or may not sign, is
 * compared with one of them, so that its refusal takes the work of a wrong signature.
 */
static const char stand_in_keys[] =
	"{\"keys\":["
	"{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-"
	"Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_"
	"7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb"
	"3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FR"
	"WyuXpoQ\",\"e\":\"AQAB\"},"
	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
	"\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"},"
	"{\"kty\":\"EC\",\"crv\":\"P-384\","
	"\"x\":\"qofKIr6LBTeOscce8yCtdG4dO2KLp5uYWfdB4IJUKjhVAvJdv1UpbDpUXjhydgq3\","
	"\"y\":\"NhfeSpYmLG9dnpi_kpLcKfj0Hb0omhR86doxE7XwuMAKYLHOHX6BnXpDHXyQ6g5f\"},"
	"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

static Jsonb *
stand_in_jwks(void)
{
	static Jsonb *jwks = NULL;

	if (jwks == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		jwks = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(stand_in_keys)));
		MemoryContextSwitchTo(old);
	}
	return jwks;
}

JoseStatus
assertion_read(const char *jwt, JwsToken *token, Jsonb **claims)
{
	JoseStatus status = jws_decode(jwt, strlen(jwt), token);

	return status == JOSE_OK ? jwt_payload(token, claims) : status;
}

static bool
audience_fits(Jsonb *claims, List *audiences)
{
	char *one = json_text(claims, "aud");
	ListCell *cell;

	foreach(cell, audiences)
		if ((one != NULL && strcmp(one, lfirst(cell)) == 0) ||
			json_texts_have(claims, "aud", lfirst(cell)))
			return true;
	return false;
}

static JoseStatus
check_times(Jsonb *claims, const AssertionRules *rules, TimestampTz *until)
{
	const int64 leeway = ASSERTION_LEEWAY_SECS * USECS_PER_SEC;
	const int64 lifetime = ASSERTION_MAX_LIFETIME_SECS * USECS_PER_SEC;
	TimestampTz now = GetCurrentTimestamp();
	JwtTimes times;

	if (jwt_times(claims, &times) != JOSE_OK)
		return JOSE_CLAIM_TYPE;
	if (!times.has_exp)
		return JOSE_REQUIRED_CLAIM;
	if (now >= times.exp)
		return JOSE_EXPIRED;
	if (times.exp > now + lifetime + leeway)
		return JOSE_LIFETIME;
	if ((times.has_nbf && times.nbf > now + leeway) || (times.has_iat && times.iat > now + leeway))
		return JOSE_NOT_YET_VALID;
	if (rules->iat_required)
	{
		if (!times.has_iat)
			return JOSE_REQUIRED_CLAIM;
		if (times.exp - times.iat > lifetime)
			return JOSE_LIFETIME;
	}
	*until = times.exp + leeway;
	return JOSE_OK;
}

JoseStatus
assertion_verify(const JwsToken *token, Jsonb *claims, const AssertionRules *rules,
				 const char **jti, TimestampTz *until)
{
	JwsToken same_work = *token;
	const JoseKeySet *keys;
	bool has_jku = json_has(token->header, "jku");
	char *jku = json_text(token->header, "jku");
	const char *error;
	JoseStatus status;

	/* the signature first, so that nothing else shows in the time that it takes */
	keys = rules->jwks == NULL ? NULL : keyset_cache_get(rules->jwks, &error);
	if (keys == NULL)
	{
		keys = keyset_cache_get(stand_in_jwks(), &error);
		same_work.kid = NULL;
		status = jws_verify(&same_work, keys, rules->algorithms, NULL);
		return status == JOSE_OK ? JOSE_SIGNATURE : status;
	}
	if (token->kid == NULL)
		return JOSE_KEY_NOT_FOUND;
	status = jws_verify(token, keys, rules->algorithms, NULL);
	if (status != JOSE_OK)
		return status;
	if (token->typ == NULL ? !rules->typ_optional : pg_strcasecmp(token->typ, "JWT") != 0)
		return JOSE_TOKEN_TYPE;
	if (has_jku && (jku == NULL || rules->jku == NULL || strcmp(jku, rules->jku) != 0))
		return JOSE_HEADER;
	status = check_times(claims, rules, until);
	if (status != JOSE_OK)
		return status;
	if (!audience_fits(claims, rules->audiences))
		return JOSE_AUDIENCE;
	*jti = json_text(claims, "jti");
	return *jti == NULL || **jti == '\0' ? JOSE_REQUIRED_CLAIM : JOSE_OK;
}
