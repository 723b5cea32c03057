/*
 * src/oauth/authorization.c
 *		Checks of an authorization request, and the redirects that answer it.
 *
 * The order matters: as long as client and redirect_uri are not known to belong together, nothing
 * is redirected (AR-3); from then on every fault is told to the client. Knows nothing of persons.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "jose/b64.h"
#include "oauth/answer.h"
#include "oauth/authorization.h"
#include "oauth/json.h"
#include "oauth/request.h"
#include "oauth/scope.h"
#include "oauth/secret.h"
#include "session/trail.h"

#define STATE_MAX_BYTES 2048 /* OC-71 */
#define NONCE_MAX_BYTES 2048
#define MAX_AGE_DIGITS 9

static bool
refuse(AuthorizationRequest *out, const char *error, const char *description)
{
	out->error = error;
	out->description = description;
	return false;
}

/* Who asks, and where the answer goes. */
static bool
read_client(const Jsonb *request, AuthorizationRequest *out)
{
	RequestFault fault = request_check_shape(request);
	const OauthClient *client;
	char *client_id;
	char *redirect_uri;

	if (fault == REQUEST_OK)
		fault = request_check_parameter(request, "client_id");
	if (fault == REQUEST_OK)
		fault = request_check_parameter(request, "redirect_uri");
	if (fault != REQUEST_OK)
		return refuse(out, "invalid_request", request_fault_text(fault));
	client_id = request_parameter(request, "client_id");
	redirect_uri = request_parameter(request, "redirect_uri");
	if (client_id == NULL)
		return refuse(out, "invalid_request", "client_id is missing");
	client = client_find(client_id);
	if (client == NULL || !client->enabled)
	{
		answer_log(
			"authorization", "invalid_request", "the client is unknown or disabled", client_id);
		return refuse(out, "invalid_request", "the client is not known here");
	}
	if (redirect_uri == NULL)
		return refuse(out, "invalid_request", "redirect_uri is missing");
	if (!client_redirects_to(client, redirect_uri))
	{
		out->told = redirect_uri;
		return refuse(out, "invalid_request", "redirect_uri is not registered for this client");
	}
	out->client = client;
	out->redirect_uri = redirect_uri;
	return true;
}

static bool
read_protocol(const Jsonb *request, AuthorizationRequest *out)
{
	char *value;
	RequestFault fault = request_check(request);
	unsigned char digest[64];
	size_t digest_len;

	out->state = request_parameter(request, "state");
	if (fault != REQUEST_OK)
		return refuse(out, "invalid_request", request_fault_text(fault));
	if (request_parameter(request, "request") != NULL)
		return refuse(out, "request_not_supported", "request objects are not supported");
	if (request_parameter(request, "request_uri") != NULL)
		return refuse(out, "request_uri_not_supported", "request objects are not supported");
	if (request_parameter(request, "registration") != NULL)
		return refuse(
			out, "registration_not_supported", "the parameter registration is not supported");
	if (out->state == NULL)
		return refuse(out, "invalid_request", "state is missing");
	if (strlen(out->state) > STATE_MAX_BYTES)
		return refuse(out, "invalid_request", "state is longer than 2048 bytes");
	value = request_parameter(request, "response_type");
	if (value == NULL)
		return refuse(out, "invalid_request", "response_type is missing");
	if (strcmp(value, "code") != 0)
		return refuse(out, "unsupported_response_type", "response_type must be code");
	value = request_parameter(request, "response_mode");
	if (value != NULL && strcmp(value, "query") != 0)
		return refuse(out, "invalid_request", "response_mode must be query");
	if (!out->client->may_code)
		return refuse(
			out, "unauthorized_client", "the client is not registered for authorization_code");
	out->code_challenge = request_parameter(request, "code_challenge");
	if (out->code_challenge == NULL)
		return refuse(out, "invalid_request", "code_challenge is missing");
	value = request_parameter(request, "code_challenge_method");
	if (value == NULL || strcmp(value, "S256") != 0)
		return refuse(out, "invalid_request", "code_challenge_method must be S256");
	if (strlen(out->code_challenge) != 43 ||
		!b64url_decode(out->code_challenge, 43, digest, &digest_len))
		return refuse(out, "invalid_request", "code_challenge must be base64url of a SHA-256 hash");
	out->nonce = request_parameter(request, "nonce");
	if (out->nonce != NULL && strlen(out->nonce) > NONCE_MAX_BYTES)
		return refuse(out, "invalid_request", "nonce is longer than 2048 bytes");
	return true;
}

static bool
read_prompt(const Jsonb *request, AuthorizationRequest *out)
{
	static const char *const known[] = {"none", "login", "consent", "select_account"};
	List *values;
	ListCell *cell;
	char *max_age = request_parameter(request, "max_age");

	out->prompt = request_parameter(request, "prompt");
	values = out->prompt == NULL ? NIL : scope_tokens(out->prompt);
	foreach(cell, values)
	{
		bool found = false;

		for (size_t i = 0; i < lengthof(known); i++)
			found = found || strcmp(lfirst(cell), known[i]) == 0;
		if (!found)
			return refuse(
				out, "invalid_request", "prompt must be none, login, consent or select_account");
	}
	if (authorization_prompts(out, "none") && list_length(values) > 1)
		return refuse(out, "invalid_request", "prompt none stands alone");
	if (max_age != NULL)
	{
		if (strlen(max_age) > MAX_AGE_DIGITS || strspn(max_age, "0123456789") != strlen(max_age))
			return refuse(out, "invalid_request", "max_age must be a number of seconds");
		out->max_age = strtol(max_age, NULL, 10);
		out->max_age_text = max_age;
	}
	return true;
}

static bool
read_audience(char *aud, char *resource, AuthorizationRequest *out)
{
	if (aud == NULL && resource == NULL)
		return refuse(out, "invalid_target", "aud is missing");
	if (aud != NULL && resource != NULL && strcmp(aud, resource) != 0)
		return refuse(out, "invalid_target", "aud and resource differ");
	out->audience = aud != NULL ? aud : resource;
	if (!configuration_is_base(out->configuration, out->audience))
		return refuse(out, "invalid_target", "aud is no FHIR server of this authorization server");
	return true;
}

/* launch/<type> of which nothing comes here (OC-74). */
static char *
without_unknown_contexts(const char *scope)
{
	List *kept = NIL;
	ListCell *cell;

	foreach(cell, scope_tokens(scope))
	{
		char *token = lfirst(cell);

		if (strncmp(token, "launch/", 7) != 0 || strcmp(token, "launch/patient") == 0 ||
			strcmp(token, "launch/encounter") == 0)
			kept = lappend(kept, token);
	}
	return scope_join(kept);
}

static bool
read_scope(char *asked, AuthorizationRequest *out)
{
	const OauthClient *client = out->client;
	char *scope;
	ScopeList list;
	ScopeError error;

	if (asked == NULL)
		return refuse(out, "invalid_scope", "scope is missing");
	if (!scope_parse(asked, strlen(asked), &list, &error))
		return refuse(out, "invalid_scope", psprintf("scope is malformed: %s", error.reason));
	scope = scope_cut(scope_cut(asked, &client->scope), &out->configuration->scopes_supported);
	scope = scope_without_level(without_unknown_contexts(scope), SCOPE_LEVEL_SYSTEM);
	/* OC-13: of both the weaker, unless the client is cleared for the stronger */
	if (!client->may_refresh || !client->offline_access)
		scope = scope_without(scope, "offline_access");
	if (!client->may_refresh || scope_text_has(scope, "offline_access"))
		scope = scope_without(scope, "online_access");
	/* OC-4: nothing usable; contexts and refresh tokens alone open nothing */
	if (!scope_has_resource(scope, -1) && !scope_text_has(scope, "openid"))
		return refuse(out, "invalid_scope", "nothing of scope can be granted to this client");
	/* OC-72 */
	if (scope_has_resource(scope, SCOPE_LEVEL_PATIENT) && !scope_text_has(scope, "launch") &&
		!scope_text_has(scope, "launch/patient"))
		return refuse(out, "invalid_scope", "patient scopes need launch or launch/patient");
	out->scope = scope;
	return true;
}

/* LA-3, OC-43: handle and scope belong together. */
static bool
read_launch(const Jsonb *request, AuthorizationRequest *out)
{
	char *handle = request_parameter(request, "launch");
	char *asked = request_parameter(request, "scope");
	bool wanted = asked != NULL && scope_text_has(asked, "launch");
	StoreRow *row;

	if (handle == NULL)
		return !wanted || refuse(out, "invalid_request", "scope launch needs the parameter launch");
	row =
		secret_has_shape(handle)
			? store_find(STORE_LAUNCH_BY_HASH, PointerGetDatum(secret_hash(handle, strlen(handle))))
			: NULL;
	if (row == NULL || strcmp(store_text(row, LAUNCH_CLIENT_ID), out->client->client_id) != 0 ||
		store_time(row, LAUNCH_EXPIRES_AT) <= GetCurrentTimestamp() ||
		store_time(row, LAUNCH_MADE_AT) <= out->client->ended_at)
		return refuse(out, "invalid_request", "launch is unknown, expired or used");
	out->launch = row;
	return wanted || refuse(out, "invalid_request", "the parameter launch needs scope launch");
}

bool
authorization_read(const Jsonb *request, AuthorizationRequest *out)
{
	bool launch_good;
	AuthorizationRequest launch_fault;

	memset(out, 0, sizeof(*out));
	out->max_age = -1;
	out->configuration = configuration_get();
	if (!read_client(request, out))
		return false;
	/* first, whatever else is wrong: an answer to the client spends the handle */
	launch_good = read_launch(request, out);
	launch_fault = *out;
	out->error = NULL;
	if (!read_protocol(request, out) || !read_prompt(request, out) ||
		!read_audience(
			request_parameter(request, "aud"), request_parameter(request, "resource"), out))
		return false;
	if (!launch_good)
		return refuse(out, launch_fault.error, launch_fault.description);
	return read_scope(request_parameter(request, "scope"), out);
}

bool
authorization_read_device(const OauthClient *client, char *scope, char *aud, char *resource,
						  AuthorizationRequest *out)
{
	memset(out, 0, sizeof(*out));
	out->max_age = -1;
	out->configuration = configuration_get();
	out->client = client;
	if (aud == NULL && resource == NULL && list_length(out->configuration->fhir_base_urls) == 1)
		aud = linitial(out->configuration->fhir_base_urls);
	if (!read_audience(aud, resource, out))
		return false;
	/* no EHR opens a device */
	if (scope != NULL && scope_text_has(scope, "launch"))
		return refuse(
			out, "invalid_scope", "scope launch needs an EHR; a device asks for launch/patient");
	return read_scope(scope, out);
}

bool
authorization_prompts(const AuthorizationRequest *request, const char *value)
{
	return request->prompt != NULL && scope_text_has(request->prompt, value);
}

void
authorization_log(const AuthorizationRequest *request)
{
	answer_log("authorization",
			   request->error,
			   request->description,
			   request->client != NULL ? request->client->client_id : request->told);
	if (trail_on)
		trail->refused(&(TrailRefusal){
			.endpoint = "authorize",
			.rule = request->error,
			.client_id = request->client != NULL ? request->client->client_id : NULL});
}

Jsonb *
authorization_shown(const char *error, const char *description)
{
	return answer_error(400, error, description);
}

static Jsonb *
redirect(int status, const AuthorizationRequest *request, char *location)
{
	location = answer_add_parameter(location, "state", request->state);
	location = answer_add_parameter(location, "iss", request->configuration->issuer);
	return answer_redirect(status, location);
}

Jsonb *
authorization_redirect_error(int status, const AuthorizationRequest *request, const char *error,
							 const char *description)
{
	char *location = answer_add_parameter(request->redirect_uri, "error", error);

	if (description != NULL)
		location = answer_add_parameter(location, "error_description", answer_clean(description));
	return redirect(status, request, location);
}

Jsonb *
authorization_redirect_code(int status, const AuthorizationRequest *request, const char *code)
{
	return redirect(status, request, answer_add_parameter(request->redirect_uri, "code", code));
}
