/*
 * src/session/verify.c
 *		Is this token, or are these claims, accepted under the issuer's rules?
 *
 * The order is that of smart-rules 5.1: no claim but iss is looked at before the signature
 * holds. Signature and registered claims are the jose layer's; here are the rules that make a
 * JWT an access token for us (RFC 9068, RFC 8725). Raises nothing.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "compat.h"
#include "session/session.h"

/* typ compares without case, with or without "application/" (RFC 7515 4.1.9). */
static const char *
without_application(const char *typ)
{
	return pg_strncasecmp(typ, "application/", 12) == 0 ? typ + 12 : typ;
}

static bool
token_type_accepted(const Issuer *issuer, const char *typ)
{
	for (int i = 0; i < issuer->token_types.n; i++)
	{
		const char *accepted = issuer->token_types.values[i];

		if (accepted[0] == '\0' ? typ == NULL
								: typ != NULL && pg_strcasecmp(without_application(accepted),
															   without_application(typ)) == 0)
			return true;
	}
	return false;
}

/*
 * An ID token must not pass as access token (RFC 8725 3.11, 3.12). A typ of at+jwt is proof
 * enough; else its tell-tales refuse it.
 */
static bool
looks_like_id_token(Jsonb *claims, const char *typ, const SessionClaims *read)
{
	if (typ != NULL && pg_strcasecmp(without_application(typ), "at+jwt") == 0)
		return false;
	if (session_claim_exists(claims, "nonce") || session_claim_exists(claims, "at_hash") ||
		session_claim_exists(claims, "c_hash"))
		return true;
	for (int i = 0; i < read->n_audience; i++)
		if (read->client_id != NULL && strcmp(read->audience[i], read->client_id) == 0)
			return true;
	return false;
}

/* Present, and where it is an identifier a string that says something. */
static bool
required_claim_present(Jsonb *claims, const SessionClaims *read, const char *name)
{
	const char *value;

	if (strcmp(name, "client_id") == 0)
		value = read->client_id;
	else if (strcmp(name, "fhirUser") == 0)
		value = read->fhir_user;
	else if (strcmp(name, "encounter") == 0)
		value = read->encounter;
	else if (strcmp(name, "patient") == 0)
		return read->n_patients > 0;
	else if (strcmp(name, "scope") == 0)
		return read->scope[0] != '\0' || session_claim_exists(claims, name);
	else if (strcmp(name, "sub") == 0 || strcmp(name, "jti") == 0)
		value = session_claim_string(claims, name);
	else
		return session_claim_exists(claims, name);
	return value != NULL && value[0] != '\0';
}

static JoseStatus
check_lifetime(const Issuer *issuer, const JwtTimes *times, TimestampTz now)
{
	if (times->has_iat && times->iat > now + issuer->leeway_usecs)
		return JOSE_NOT_YET_VALID;
	if (!times->has_exp)
		return JOSE_OK;
	if ((times->has_iat && times->iat > times->exp) || (times->has_nbf && times->nbf > times->exp))
		return JOSE_LIFETIME;
	/* without iat, what is left of the lifetime must not exceed the limit */
	if (times->exp - (times->has_iat ? times->iat : now) > issuer->max_age_usecs)
		return JOSE_LIFETIME;
	return JOSE_OK;
}

/* Claims with which a preset's issuer tells access tokens from its other tokens. */
static bool
preset_accepts(const Issuer *issuer, Jsonb *claims)
{
	static const struct
	{
		const char *preset;
		const char *claim;
	} uses[] = {{"cognito", "token_use"}, {"epic", "epic.tokentype"}};

	for (size_t i = 0; i < lengthof(uses); i++)
	{
		if (issuer->preset != NULL && strcmp(issuer->preset, uses[i].preset) == 0)
		{
			const char *use = session_claim_string(claims, uses[i].claim);

			return use != NULL && strcmp(use, "access") == 0;
		}
	}
	return true;
}

static JoseStatus
registered_claims(Jsonb *claims, const Issuer *issuer, bool exp_required, bool aud_required,
				  TimestampTz now, JwtTimes *times)
{
	JwtRules rules = {0};

	rules.issuer = session_claim_exists(claims, "iss") || exp_required ? issuer->issuer : NULL;
	if (!issuer->audience.null && (aud_required || session_claim_exists(claims, "aud")))
	{
		/* no rule would be no check */
		if (issuer->audience.n == 0)
			return JOSE_AUDIENCE;
		rules.n_audience = issuer->audience.n;
		rules.audience = (const char **) issuer->audience.values;
	}
	rules.exp_required = exp_required;
	rules.leeway_usecs = issuer->leeway_usecs;
	rules.now = now;
	return jwt_check_claims(claims, &rules, times);
}

JoseStatus
session_verify_token(const char *token, size_t len, SessionSource *source)
{
	JwsToken jws;
	Jsonb *claims;
	char *name;
	const Issuer *issuer;
	const JoseKey *key;
	SessionClaims read;
	JoseStatus status;
	TimestampTz now = GetCurrentTimestamp();

	if ((status = jws_decode(token, len, &jws)) != JOSE_OK)
		return status;
	if ((status = jwt_payload(&jws, &claims)) != JOSE_OK)
		return status;
	name = session_claim_string(claims, "iss");
	issuer = name != NULL ? issuer_lookup(name) : NULL;
	if (issuer == NULL)
		return JOSE_UNKNOWN_ISSUER;
	if (!token_type_accepted(issuer, jws.typ))
		return JOSE_TOKEN_TYPE;
	/* whose tokens for other servers would pass: the table refuses such a row */
	if (issuer->audience.null && issuer->client_ids.null)
		return JOSE_AUDIENCE;
	if (issuer->keys == NULL)
		return JOSE_KEY_NOT_FOUND;
	if ((status = jws_verify(&jws, issuer->keys, issuer->algorithms, &key)) != JOSE_OK)
		return status;

	status = registered_claims(claims, issuer, true, true, now, &source->times);
	if (status != JOSE_OK)
		return status;
	if ((status = check_lifetime(issuer, &source->times, now)) != JOSE_OK)
		return status;
	if (session_claim_exists(claims, "cnf"))
		return JOSE_CONFIRMATION;
	if ((status = session_claims_read(issuer, claims, &read)) != JOSE_OK)
		return status;
	for (int i = 0; i < issuer->required_claims.n; i++)
		if (!required_claim_present(claims, &read, issuer->required_claims.values[i]))
			return JOSE_REQUIRED_CLAIM;
	if (!issuer->client_ids.null &&
		(read.client_id == NULL ||
		 !issuer_texts_contain(&issuer->client_ids, read.client_id, strlen(read.client_id))))
		return JOSE_CLIENT;
	if (!preset_accepts(issuer, claims) || looks_like_id_token(claims, jws.typ, &read))
		return JOSE_TOKEN_TYPE;
	source->issuer = issuer;
	source->claims = claims;
	source->key_thumbprint = jose_key_thumbprint(key);
	return JOSE_OK;
}

JoseStatus
session_verify_claims(Jsonb *claims, const Issuer *issuer, SessionSource *source)
{
	TimestampTz now = GetCurrentTimestamp();
	JoseStatus status;
	SessionClaims read;

	if (!JB_ROOT_IS_OBJECT(claims))
		return JOSE_MALFORMED;
	status = registered_claims(claims, issuer, false, false, now, &source->times);
	if (status != JOSE_OK)
		return status;
	/* an introspection response (RFC 7662): only JSON true is active */
	if (session_claim_exists(claims, "active") && !session_claim_is_true(claims, "active"))
		return JOSE_REVOKED;
	if ((status = session_claims_read(issuer, claims, &read)) != JOSE_OK)
		return status;
	if (!issuer->client_ids.null && read.client_id != NULL &&
		!issuer_texts_contain(&issuer->client_ids, read.client_id, strlen(read.client_id)))
		return JOSE_CLIENT;
	source->issuer = issuer;
	source->claims = claims;
	source->key_thumbprint = NULL;
	return JOSE_OK;
}
