/*
 * src/oauth/mint.c
 *		Making the tokens that the server signs. Knows nothing of why they are given.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "jose/jose.h"
#include "oauth/configuration.h"
#include "oauth/json.h"
#include "oauth/mint.h"
#include "oauth/scope.h"
#include "oauth/secret.h"
#include "oauth/signing_key.h"
#include "session/trail.h"

int64
mint_numeric_date(TimestampTz time)
{
	return time / USECS_PER_SEC + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
}

/* The key parsed, kept under its kid, which is its thumbprint. */
static JoseKey *
signer(const SigningKey *key, const char **error)
{
	JoseKey *signer = jose_signer_find(key->kid, strlen(key->kid));
	Jsonb *jwk;

	if (signer != NULL)
		return signer;
	jwk = signing_key_private(key);
	if (jwk == NULL)
	{
		*error = "The key has just been dropped.";
		return NULL;
	}
	signer = jose_signer_add(key->kid, strlen(key->kid), jwk, error);
	secret_wipe(jwk, VARSIZE(jwk));
	pfree(jwk);
	return signer;
}

static char *
sign(const Jsonb *payload, const SigningKey *key, const char *typ)
{
	char *text =
		JsonbToCString(NULL, unconstify(JsonbContainer *, &payload->root), VARSIZE(payload));
	char *token = NULL;
	int sqlstate = ERRCODE_INTERNAL_ERROR;
	const char *error = NULL;
	JoseKey *with = signer(key, &error);

	if (with != NULL)
		token = jose_sign_text(with,
							   jose_algorithm_by_name(key->algorithm, strlen(key->algorithm)),
							   typ,
							   text,
							   &sqlstate,
							   &error);
	if (token == NULL)
		ereport(ERROR,
				errcode(sqlstate),
				errmsg("could not sign a token"),
				errdetail("%s", error),
				errhidestmt(true));
	return token;
}

static const SigningKey *
require_key(const SigningKey *key, const char *algorithm)
{
	if (key == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("there is no key that signs now"),
				algorithm == NULL ? 0 : errdetail("Asked for was %s.", algorithm),
				errhint("Make one with smart.create_signing_key()."),
				errhidestmt(true));
	return key;
}

bool
mint_names_user(const char *scope)
{
	return scope_text_has(scope, "fhirUser") || scope_has_resource(scope, SCOPE_LEVEL_USER);
}

char *
mint_access_token(const AccessToken *token)
{
	int64 now = mint_numeric_date(token->issued_at);
	char *jti = secret_make_id();
	JsonObject claims;

	json_begin(&claims);
	json_add_text(&claims, "iss", configuration_get()->issuer);
	json_add_text(&claims, "aud", token->audience);
	json_add_text(&claims, "sub", token->subject);
	json_add_text(&claims, "client_id", token->client_id);
	json_add_text(&claims, "scope", token->scope);
	json_add_int(&claims, "iat", now);
	json_add_int(&claims, "exp", now + token->lifetime);
	json_add_text(&claims, "jti", jti);
	json_add_text(&claims, "grant_id", token->grant_id);
	json_add_text(&claims, "patient", token->patient);
	json_add_text(&claims, "encounter", token->encounter);
	if (mint_names_user(token->scope))
		json_add_text(&claims, "fhirUser", token->fhir_user);
	json_add_text(&claims, "hookInstance", token->hook_instance);
	if (token->context != NULL)
	{
		json_add_jsonb(&claims, "fhirContext", json_member(token->context, "fhirContext"));
		json_add_text(&claims, "tenant", json_text(token->context, "tenant"));
	}
	trail_grant(&(TrailGrant){.event = "mint",
							  .issuer = configuration_get()->issuer,
							  .client_id = token->client_id,
							  .subject = token->subject,
							  .fhir_user = token->fhir_user,
							  .patient = token->patient,
							  .encounter = token->encounter,
							  .jti = jti,
							  .scope = token->scope,
							  .grant_type = token->grant_type,
							  .grant_id = token->grant_id});
	return sign(json_end(&claims), require_key(signing_key_latest(), NULL), "at+jwt");
}

char *
mint_id_token(const IdToken *token)
{
	const OauthConfiguration *c = configuration_get();
	int64 now = mint_numeric_date(token->issued_at);
	JsonObject claims;

	json_begin(&claims);
	json_add_text(&claims, "iss", c->issuer);
	json_add_text(&claims, "aud", token->client_id);
	json_add_text(&claims, "sub", token->subject);
	json_add_int(&claims, "iat", now);
	json_add_int(&claims, "exp", now + c->id_token_lifetime);
	if (token->auth_time != 0)
		json_add_int(&claims, "auth_time", mint_numeric_date(token->auth_time));
	json_add_text(&claims, "nonce", token->nonce);
	json_add_text(&claims, "fhirUser", token->fhir_user);
	return sign(json_end(&claims),
				require_key(signing_key_latest_of(token->algorithm), token->algorithm),
				"JWT");
}
