/*
 * src/oauth/token.c
 *		The token endpoint: authorization_code, refresh_token, client_credentials and device_code.
 *
 * RFC 6749 4.1.3, 4.4, 6; RFC 7636 4.6; RFC 8628 3.4; SMART App Launch 2.2. The order of the checks is OC-79:
 * content type, grant_type, repeated parameters, client, grant, PKCE, scope. What is burnt here
 * is a row that is locked first: of requests at once one goes on and the others see what it did.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "jose/b64.h"
#include "oauth/authenticate.h"
#include "oauth/configuration.h"
#include "oauth/device.h"
#include "oauth/endpoint.h"
#include "oauth/grant.h"
#include "oauth/json.h"
#include "oauth/mint.h"
#include "oauth/request.h"
#include "oauth/scope.h"
#include "oauth/secret.h"
#include "oauth/store.h"

#define VERIFIER_MIN 43
#define VERIFIER_MAX 128

bool
endpoint_check_form(const Jsonb *request, const Jsonb *headers, Outcome *outcome)
{
	static const char form[] = "application/x-www-form-urlencoded";
	char *type;
	RequestFault fault;

	if (!request_headers_fit(headers))
		return outcome_refuse(
			outcome, 400, "invalid_request", "the headers are longer than 64 KiB", "headers");
	type = request_header(headers, "content-type");
	if (type != NULL &&
		(pg_strncasecmp(type, form, strlen(form)) != 0 ||
		 (type[strlen(form)] != '\0' && strchr("; \t", type[strlen(form)]) == NULL)))
		return outcome_refuse(outcome,
							  400,
							  "invalid_request",
							  "the content type must be application/x-www-form-urlencoded",
							  "content type");
	fault = request_check_shape(request);
	return fault == REQUEST_OK ||
		   outcome_refuse(
			   outcome, 400, "invalid_request", request_fault_text(fault), "shape of the request");
}

bool
endpoint_check_parameters(const Jsonb *request, Outcome *outcome)
{
	RequestFault fault = request_check(request);

	return fault == REQUEST_OK ||
		   outcome_refuse(
			   outcome, 400, "invalid_request", request_fault_text(fault), "shape of a parameter");
}

static bool
refuse_grant(Outcome *outcome, const char *reason)
{
	return outcome_refuse(outcome,
						  400,
						  "invalid_grant",
						  "the code or token is not valid for this client, or no longer",
						  reason);
}

static bool
refuse_scope(Outcome *outcome, const char *description)
{
	return outcome_refuse(outcome, 400, "invalid_scope", description, description);
}

/* ---- what a grant gives now ---- */

/*
 * What grant, client and server have in common of this scope, or of a part of it. Offline access as the
 * client has it now. NULL: nothing is left that is of use.
 */
static char *
present_scope(const char *scope, const OauthClient *client)
{
	char *text =
		scope_cut(scope_cut(scope, &client->scope), &configuration_get()->scopes_supported);

	if (!client->offline_access)
		text = scope_without(text, "offline_access");
	return scope_has_resource(text, -1) || scope_text_has(text, "openid") ? text : NULL;
}

/* When the refresh token of this grant ends; 0: it gets none. */
static TimestampTz
refresh_until(const OauthGrant *grant, const char *scope, const OauthClient *client,
			  TimestampTz now)
{
	const OauthConfiguration *c = configuration_get();
	TimestampTz until;

	if (grant->refresh == NULL || !client->may_refresh)
		return 0;
	if (strcmp(grant->refresh, "offline") == 0)
	{
		if (!scope_text_has(scope, "offline_access"))
			return 0;
		until = now + c->offline_lifetime * USECS_PER_SEC;
	}
	else
	{
		if (!scope_text_has(scope, "online_access"))
			return 0;
		until = grant->granted_at + c->online_lifetime * USECS_PER_SEC;
	}
	until = Min(until, grant->ends_at);
	return until > now ? until : 0;
}

static char *
make_refresh_token(const OauthGrant *grant, TimestampTz now, TimestampTz until)
{
	char *token = secret_make();
	StoreRow *row = store_row(STORE_REFRESH_TOKEN);

	store_set(row, REFRESH_TOKEN_HASH, PointerGetDatum(secret_hash(token, strlen(token))));
	store_set_text(row, REFRESH_TOKEN_GRANT_ID, grant->grant_id);
	store_set_text(row, REFRESH_TOKEN_CLIENT_ID, grant->client_id);
	store_set(row, REFRESH_TOKEN_MADE_AT, TimestampTzGetDatum(now));
	store_set(row, REFRESH_TOKEN_EXPIRES_AT, TimestampTzGetDatum(until));
	store_insert(row);
	store_clean_sometimes(STORE_REFRESH_TOKEN);
	return token;
}

/*
 * The token response (smart-rules 4.1, CE-9, CE-10). all: what the grant gives now; scope: what of
 * it this access token has.
 */
static bool
respond(const OauthGrant *grant, const OauthClient *client, const char *all, const char *scope,
		const char *nonce, bool with_id_token, Outcome *outcome)
{
	const OauthConfiguration *c = configuration_get();
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until = refresh_until(grant, all, client, now);
	AccessToken token = {0};
	JsonObject body;

	token.audience = grant->audience;
	token.subject = grant->sub;
	token.client_id = grant->client_id;
	token.scope = scope;
	token.grant_type = outcome->grant_type;
	token.grant_id = grant->grant_id;
	token.patient = grant->patient;
	token.encounter = grant->encounter;
	token.fhir_user = grant->fhir_user;
	token.context = grant->context;
	token.issued_at = now;
	token.lifetime = c->access_token_lifetime;
	json_begin(&body);
	json_add_text(&body, "access_token", mint_access_token(&token));
	json_add_text(&body, "token_type", "Bearer");
	json_add_int(&body, "expires_in", token.lifetime);
	json_add_text(&body, "scope", scope);
	json_add_text(&body, "patient", grant->patient);
	json_add_text(&body, "encounter", grant->encounter);
	if (grant->context != NULL)
		json_add_members(&body, grant->context);
	if (with_id_token && scope_text_has(scope, "openid"))
	{
		IdToken id = {0};

		id.subject = grant->sub;
		id.client_id = grant->client_id;
		id.fhir_user = scope_text_has(scope, "fhirUser") ? grant->fhir_user : NULL;
		id.nonce = nonce;
		id.auth_time = grant->auth_time;
		id.algorithm = client->id_token_alg;
		id.issued_at = now;
		json_add_text(&body, "id_token", mint_id_token(&id));
	}
	if (until != 0)
		json_add_text(&body, "refresh_token", make_refresh_token(grant, now, until));
	outcome->status = 200;
	outcome->body = json_end(&body);
	outcome->client_id = grant->client_id;
	outcome->grant_id = grant->grant_id;
	grant_clean_sometimes();
	return true;
}

/* What was used before comes again: somebody else has it, or had it. All that came of it ends. */
static bool
refuse_reuse(const char *grant_id, const char *reason, Outcome *outcome)
{
	if (!grant_id_is_ended(grant_id))
		grant_end(grant_id);
	return refuse_grant(outcome, reason);
}

/* ---- authorization_code ---- */

/* PK-3 to PK-5, PK-7. */
static bool
verifier_fits(const char *verifier, const char *challenge)
{
	char computed[B64URL_ENCODED_LEN(SECRET_HASH_BYTES) + 1];
	size_t len = verifier == NULL ? 0 : strlen(verifier);
	bytea *hash;

	if (len < VERIFIER_MIN || len > VERIFIER_MAX ||
		strspn(verifier, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") !=
			len)
		return false;
	hash = secret_hash(verifier, len);
	len = b64url_encode((const unsigned char *) VARDATA(hash), SECRET_HASH_BYTES, computed);
	return strlen(challenge) == len && secret_equal(computed, challenge, len);
}

static bool
refuse_grant_type(const char *grant_type, Outcome *outcome)
{
	return outcome_refuse(outcome,
						  400,
						  "unauthorized_client",
						  "the client may not use this grant type",
						  psprintf("grant type %s", grant_type));
}

/* A code of an approval at the browser, or of a device: neither is good as the other. */
static StoreRow *
find_code(const char *code, bool of_device)
{
	StoreRow *row =
		secret_has_shape(code)
			? store_find(STORE_CODE_BY_HASH, PointerGetDatum(secret_hash(code, strlen(code))))
			: NULL;

	return row != NULL && row->nulls[CODE_REDIRECT_URI] == of_device ? row : NULL;
}

/* Burn a code that was found, and answer with what its grant gives. */
static bool
use_code(StoreRow *row, const Jsonb *request, const OauthClient *client, Outcome *outcome)
{
	bool of_device = row != NULL && row->nulls[CODE_REDIRECT_URI];
	char *redirect_uri = request_parameter(request, "redirect_uri");
	OauthGrant *grant;
	char *grant_id;
	char *scope;

	if (row == NULL)
	{
		outcome->failed_as = client->client_id;
		return refuse_grant(outcome, "the code is not known");
	}
	/* another's code is neither burnt nor reused by this */
	if (strcmp(store_text(row, CODE_CLIENT_ID), client->client_id) != 0)
		return refuse_grant(outcome, "the code is another client's");
	if (!store_lock(row))
		return refuse_grant(outcome, "the code is gone");
	grant_id = store_text(row, CODE_GRANT_ID);
	if (!row->nulls[CODE_USED_AT])
		return refuse_reuse(grant_id, "the code was used before", outcome);
	if (GetCurrentTimestamp() >= store_time(row, CODE_EXPIRES_AT))
		return of_device ? device_refuse_expired(outcome)
						 : refuse_grant(outcome, "the code has expired");

	store_set(row, CODE_USED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
	if (!of_device &&
		(redirect_uri == NULL || strcmp(redirect_uri, store_text(row, CODE_REDIRECT_URI)) != 0 ||
		 !verifier_fits(request_parameter(request, "code_verifier"),
						store_text(row, CODE_CODE_CHALLENGE))))
	{
		store_update(row);
		return refuse_grant(outcome, "redirect_uri or code_verifier do not fit the code");
	}
	grant = grant_find(grant_id);
	if (grant == NULL || !grant_is_live(grant, client))
		return refuse_grant(outcome, "the grant is over");
	if (!of_device && !client_redirects_to(client, redirect_uri))
		return refuse_grant(outcome, "the redirect_uri is not registered any more");
	scope = present_scope(grant->scope, client);
	if (scope == NULL)
		return refuse_grant(outcome, "nothing of the granted scope is left");
	store_update(row);
	store_clean_sometimes(STORE_CODE);
	return respond(grant, client, scope, scope, store_text(row, CODE_NONCE), true, outcome);
}

static bool
exchange_code(const Jsonb *request, const OauthClient *client, Outcome *outcome)
{
	char *code = request_parameter(request, "code");

	if (!client->may_code)
		return refuse_grant_type("authorization_code", outcome);
	if (code == NULL)
		return outcome_refuse(
			outcome, 400, "invalid_request", "the parameter code is missing", "no code");
	return use_code(find_code(code, false), request, client, outcome);
}

/* RFC 8628 3.4, 3.5. */
static bool
exchange_device_code(const Jsonb *request, const OauthClient *client, Outcome *outcome)
{
	char *code = request_parameter(request, "device_code");

	if (!client->may_device)
		return refuse_grant_type("device_code", outcome);
	if (code == NULL)
		return outcome_refuse(outcome,
							  400,
							  "invalid_request",
							  "the parameter device_code is missing",
							  "no device_code");
	/* first what waits: an approval takes a code from here to there in one transaction */
	if (device_poll(code, client, outcome))
		return false;
	return use_code(find_code(code, true), request, client, outcome);
}

/* ---- refresh_token ---- */

static StoreRow *
find_refresh_token(const char *token)
{
	return token != NULL && secret_has_shape(token)
			   ? store_find(STORE_REFRESH_TOKEN_BY_HASH,
							PointerGetDatum(secret_hash(token, strlen(token))))
			   : NULL;
}

/* The scope of a request, strictly read; false: malformed. */
static bool
requested_scope(const char *text, ScopeList *list)
{
	ScopeError error;

	return scope_parse(text, strlen(text), list, &error);
}

static bool
refresh(const Jsonb *request, StoreRow *row, const OauthClient *client, Outcome *outcome)
{
	char *requested = request_parameter(request, "scope");
	OauthGrant *grant;
	char *grant_id;
	char *all;
	char *scope;

	if (!client->may_refresh)
		return refuse_grant_type("refresh_token", outcome);
	if (row == NULL)
	{
		outcome->failed_as = client->client_id;
		return refuse_grant(outcome, "the refresh token is not known");
	}
	if (strcmp(store_text(row, REFRESH_TOKEN_CLIENT_ID), client->client_id) != 0)
		return refuse_grant(outcome, "the refresh token is another client's");
	if (!store_lock(row))
		return refuse_grant(outcome, "the refresh token is gone");
	grant_id = store_text(row, REFRESH_TOKEN_GRANT_ID);
	if (!row->nulls[REFRESH_TOKEN_USED_AT])
		return refuse_reuse(grant_id, "the refresh token was used before", outcome);
	if (GetCurrentTimestamp() >= store_time(row, REFRESH_TOKEN_EXPIRES_AT))
		return refuse_grant(outcome, "the refresh token has expired");
	grant = grant_find(grant_id);
	if (grant == NULL || !grant_is_live(grant, client))
		return refuse_grant(outcome, "the grant is over");

	if (requested != NULL)
	{
		ScopeList list, granted;

		if (!requested_scope(requested, &list))
			return refuse_scope(outcome, "the scope is malformed");
		scope_read(grant->scope, &granted);
		if (!scope_list_covers(&granted, &list))
			return refuse_scope(outcome, "the scope is more than was granted");
	}
	all = present_scope(grant->scope, client);
	scope = requested == NULL ? all : present_scope(requested, client);
	if (all == NULL || scope == NULL)
		return refuse_grant(outcome, "nothing of the granted scope is left");
	store_set(row, REFRESH_TOKEN_USED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
	store_update(row);
	return respond(grant, client, all, scope, NULL, false, outcome);
}

/* ---- client_credentials ---- */

/* aud or its synonym resource (RFC 8707); NULL, with the outcome invalid_target. */
static char *
credentials_audience(const Jsonb *request, Outcome *outcome)
{
	const OauthConfiguration *c = configuration_get();
	char *aud = request_parameter(request, "aud");
	char *resource = request_parameter(request, "resource");
	const char *fault = NULL;

	if (aud == NULL)
		aud = resource;
	if (aud == NULL && list_length(c->fhir_base_urls) == 1)
		aud = linitial(c->fhir_base_urls);
	if (aud == NULL)
		fault = "aud or resource must say which server";
	else if (resource != NULL && strcmp(aud, resource) != 0)
		fault = "aud and resource differ";
	else if (!configuration_is_base(c, aud))
		fault = "aud or resource is no server of this issuer";
	if (fault == NULL)
		return aud;
	(void) outcome_refuse(outcome, 400, "invalid_target", fault, fault);
	return NULL;
}

static bool
client_credentials(const Jsonb *request, const OauthClient *client, Outcome *outcome)
{
	const OauthConfiguration *c = configuration_get();
	char *scope = request_parameter(request, "scope");
	char *audience;
	AccessToken token = {0};
	JsonObject body;
	ScopeList list;

	if (!client->may_credentials || client->auth_method == CLIENT_AUTH_NONE)
		return refuse_grant_type("client_credentials", outcome);
	audience = credentials_audience(request, outcome);
	if (audience == NULL)
		return false;
	if (scope == NULL)
		return refuse_scope(outcome, "the parameter scope is missing");
	if (!requested_scope(scope, &list) || list.n_items == 0)
		return refuse_scope(outcome, "the scope is malformed");
	for (int i = 0; i < list.n_items; i++)
		if (list.items[i].kind != SCOPE_KIND_RESOURCE || list.items[i].level != SCOPE_LEVEL_SYSTEM)
			return refuse_scope(outcome, "without a person the scope can be system/ alone");
	if (!scope_list_covers(&client->scope, &list) ||
		!scope_list_covers(&c->scopes_supported, &list))
		return refuse_scope(outcome, "the scope is more than the client may have");

	token.audience = audience;
	token.subject = client->client_id;
	token.client_id = client->client_id;
	token.scope = scope_join(scope_tokens(scope));
	token.grant_type = outcome->grant_type;
	token.grant_id = client->grant_id;
	token.issued_at = GetCurrentTimestamp();
	token.lifetime = c->access_token_lifetime;
	json_begin(&body);
	json_add_text(&body, "access_token", mint_access_token(&token));
	json_add_text(&body, "token_type", "Bearer");
	json_add_int(&body, "expires_in", token.lifetime);
	json_add_text(&body, "scope", token.scope);
	outcome->status = 200;
	outcome->body = json_end(&body);
	outcome->client_id = client->client_id;
	outcome->grant_id = client->grant_id;
	return true;
}

/* ---- the endpoint ---- */

/*
 * A public client is known from its refresh token alone: that is how fhirclient asks. NULL, with the
 * outcome, when it is not known or needs authentication.
 */
static const OauthClient *
client_of_refresh_token(const StoreRow *row, const ClientCredentials *credentials, Outcome *outcome)
{
	ClientCredentials named = *credentials;

	if (row == NULL)
	{
		outcome->failed_as = "";
		(void) refuse_grant(outcome, "the refresh token is not known");
		return NULL;
	}
	named.client_id = store_text(row, REFRESH_TOKEN_CLIENT_ID);
	return authenticate(&named, configuration_get()->token_endpoint, outcome);
}

bool
endpoint_token(const Jsonb *request, const Jsonb *headers, Outcome *outcome)
{
	ClientCredentials credentials;
	const OauthClient *client;
	StoreRow *row = NULL;
	char *grant_type;
	bool is_refresh;
	bool is_device;

	if (!endpoint_check_form(request, headers, outcome))
		return false;
	grant_type = request_parameter(request, "grant_type");
	if (grant_type == NULL)
		return outcome_refuse(outcome,
							  400,
							  "invalid_request",
							  "the parameter grant_type is missing or not one text",
							  "grant_type");
	outcome->grant_type = grant_type;
	is_refresh = strcmp(grant_type, "refresh_token") == 0;
	is_device = strcmp(grant_type, CLIENT_GRANT_DEVICE) == 0 && device_is_offered();
	if (!is_refresh && !is_device && strcmp(grant_type, "authorization_code") != 0 &&
		strcmp(grant_type, "client_credentials") != 0)
		return outcome_refuse(
			outcome, 400, "unsupported_grant_type", "the grant type is not known", "grant type");
	if (!endpoint_check_parameters(request, outcome) ||
		!credentials_read(request, headers, &credentials, outcome))
		return false;
	if (is_refresh)
	{
		char *token = request_parameter(request, "refresh_token");

		if (token == NULL)
			return outcome_refuse(outcome,
								  400,
								  "invalid_request",
								  "the parameter refresh_token is missing",
								  "no refresh_token");
		row = find_refresh_token(token);
	}
	if (is_refresh && credentials.client_id == NULL && credentials.method == CLIENT_AUTH_NONE)
		client = client_of_refresh_token(row, &credentials, outcome);
	else
		client = authenticate(&credentials, configuration_get()->token_endpoint, outcome);
	if (client == NULL)
		return false;
	if (is_refresh)
		return refresh(request, row, client, outcome);
	if (is_device)
		return exchange_device_code(request, client, outcome);
	if (strcmp(grant_type, "authorization_code") == 0)
		return exchange_code(request, client, outcome);
	return client_credentials(request, client, outcome);
}
