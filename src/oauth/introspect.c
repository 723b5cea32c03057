/*
 * src/oauth/introspect.c
 *		Introspection (RFC 7662), revocation (RFC 7009) and the userinfo endpoint (OpenID Connect Core 5.3).
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "compat.h"
#include "oauth/authenticate.h"
#include "oauth/configuration.h"
#include "oauth/endpoint.h"
#include "oauth/grant.h"
#include "oauth/json.h"
#include "oauth/mint.h"
#include "oauth/own_token.h"
#include "oauth/request.h"
#include "oauth/scope.h"
#include "oauth/secret.h"
#include "oauth/store.h"
#include "session/issuer.h"
#include "session/revocation.h"

PG_FUNCTION_INFO_V1(smart_oauth_userinfo);

/*
 * Who asks, by client authentication or with an access token of its own; NULL, with the outcome. A
 * client_id alone proves nothing.
 */
static const OauthClient *
introspecting_client(const Jsonb *request, const Jsonb *headers, Outcome *outcome)
{
	ClientCredentials credentials;
	const OauthClient *client;

	if (request_bearer(headers) != NULL && request_parameter(request, "client_assertion") == NULL &&
		request_parameter(request, "client_secret") == NULL)
	{
		OwnToken token;

		if (!own_token_of_bearer(headers, &token, outcome))
			return NULL;
		client = client_find(token.client_id);
		if (client != NULL && client->enabled)
			return client;
		outcome->challenge = "Bearer realm=\"smart\", error=\"invalid_token\"";
		(void) outcome_refuse(
			outcome, 401, "invalid_token", "the access token is not valid any more", "client");
		return NULL;
	}
	if (!credentials_read(request, headers, &credentials, outcome))
		return NULL;
	if (credentials.method == CLIENT_AUTH_NONE)
	{
		outcome->failed_as = credentials.client_id == NULL ? "" : credentials.client_id;
		(void) outcome_refuse(
			outcome, 401, "invalid_client", "client authentication failed", "no authentication");
		return NULL;
	}
	return authenticate(&credentials, configuration_get()->introspection_endpoint, outcome);
}

/* TI-7: whatever there is to say no to. */
static Jsonb *
inactive(void)
{
	JsonObject body;

	json_begin(&body);
	json_add_bool(&body, "active", false);
	return json_end(&body);
}

/* TI-3 to TI-6. */
static Jsonb *
active(const OwnToken *token)
{
	static const char *const copied[] = {"iss",
										 "aud",
										 "sub",
										 "client_id",
										 "scope",
										 "exp",
										 "iat",
										 "jti",
										 "grant_id",
										 "patient",
										 "encounter",
										 "fhirUser",
										 "fhirContext",
										 "tenant",
										 "hookInstance"};
	OauthGrant *grant = grant_find(token->grant_id);
	JsonObject body;

	json_begin(&body);
	json_add_bool(&body, "active", true);
	json_add_text(&body, "token_type", "Bearer");
	for (size_t i = 0; i < lengthof(copied); i++)
	{
		JsonbValue value;

		if (json_find(token->claims, copied[i], &value))
			json_add_jsonb(&body, copied[i], json_from_value(&value));
	}
	if (grant != NULL && grant->context != NULL)
		json_add_members(&body, grant->context);
	return json_end(&body);
}

bool
endpoint_introspect(const Jsonb *request, const Jsonb *headers, Outcome *outcome)
{
	const OauthClient *client;
	OwnToken token;
	char *text;

	if (!endpoint_check_form(request, headers, outcome) ||
		!endpoint_check_parameters(request, outcome))
		return false;
	client = introspecting_client(request, headers, outcome);
	if (client == NULL)
		return false;
	text = request_parameter(request, "token");
	if (text == NULL)
		return outcome_refuse(
			outcome, 400, "invalid_request", "the parameter token is missing", "no token");
	outcome->status = 200;
	outcome->client_id = client->client_id;
	if (own_token_read(text, &token) &&
		(client->sees_any_token || strcmp(token.client_id, client->client_id) == 0))
		outcome->body = active(&token);
	else
		outcome->body = inactive();
	return true;
}

/* LF-9, LF-10: a refresh token ends its grant, an access token itself alone. */
static void
revoke_token(const char *text, const OauthClient *client)
{
	OwnToken token;

	if (secret_has_shape(text))
	{
		StoreRow *row = store_find(STORE_REFRESH_TOKEN_BY_HASH,
								   PointerGetDatum(secret_hash(text, strlen(text))));

		if (row != NULL &&
			strcmp(store_text(row, REFRESH_TOKEN_CLIENT_ID), client->client_id) == 0 &&
			!grant_id_is_ended(store_text(row, REFRESH_TOKEN_GRANT_ID)))
			grant_end(store_text(row, REFRESH_TOKEN_GRANT_ID));
	}
	else if (own_token_read(text, &token) && strcmp(token.client_id, client->client_id) == 0)
	{
		Revocation revocation = {0};

		revocation.issuer = configuration_get()->issuer;
		revocation.jti = token.jti;
		revocation.has_until = true;
		revocation.until = token.expires_at + (ISSUER_MAX_LEEWAY_SECS + 1) * USECS_PER_SEC;
		revocation_add(&revocation);
	}
}

bool
endpoint_revoke(const Jsonb *request, const Jsonb *headers, Outcome *outcome)
{
	ClientCredentials credentials;
	const OauthClient *client;
	char *text;

	if (!endpoint_check_form(request, headers, outcome) ||
		!endpoint_check_parameters(request, outcome) ||
		!credentials_read(request, headers, &credentials, outcome))
		return false;
	client = authenticate(&credentials, configuration_get()->revocation_endpoint, outcome);
	if (client == NULL)
		return false;
	text = request_parameter(request, "token");
	if (text == NULL)
		return outcome_refuse(
			outcome, 400, "invalid_request", "the parameter token is missing", "no token");
	revoke_token(text, client);
	outcome->status = 200;
	outcome->client_id = client->client_id;
	return true;
}

/* smart.userinfo(headers jsonb) -> jsonb */
Datum
smart_oauth_userinfo(PG_FUNCTION_ARGS)
{
	Outcome outcome = {.endpoint = "userinfo"};
	OwnToken token;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("parameter \"%s\" must not be null", "headers"));
	(void) configuration_get(); /* or raise, whatever the headers are */
	if (own_token_of_bearer(PG_GETARG_JSONB_P(0), &token, &outcome))
	{
		if (!scope_text_has(token.scope, "openid"))
		{
			outcome.challenge =
				"Bearer realm=\"smart\", error=\"insufficient_scope\", scope=\"openid\"";
			(void) outcome_refuse(&outcome,
								  403,
								  "insufficient_scope",
								  "the access token does not have the scope openid",
								  "userinfo without openid");
		}
		else
		{
			JsonObject body;

			json_begin(&body);
			json_add_text(&body, "sub", json_text(token.claims, "sub"));
			if (scope_text_has(token.scope, "fhirUser"))
				json_add_text(&body, "fhirUser", json_text(token.claims, "fhirUser"));
			outcome.status = 200;
			outcome.body = json_end(&body);
		}
	}
	PG_RETURN_JSONB_P(outcome_answer(&outcome));
}
