/*
 * src/oauth/approval.c
 *		What a person said, met with what was asked: the one home of what is granted. For smart.approve() and
 *		smart.approve_device(). Knows nothing of codes and of how the answer gets to the client.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "compat.h"
#include "fhir/fhir.h"
#include "oauth/approval.h"
#include "oauth/json.h"
#include "oauth/scope.h"
#include "oauth/secret.h"
#include "scope/order.h"
#include "session/trail.h"

/* How long a login counts as fresh, in seconds, on top of max_age. */
#define LOGIN_FRESH_SECS 600
/* A clock of another machine may be ahead. */
#define CLOCK_SKEW_SECS 60
static void
bad_approval(const char *member, const char *detail)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid value for \"%s\" in parameter \"%s\"", member, "approval"),
			errdetail("%s", detail));
}

static char *
member(const Jsonb *approval, const char *name, bool may_be_empty)
{
	JsonbValue value;

	if (!json_find(approval, name, &value) || value.type == jbvNull)
		return NULL;
	if (value.type != jbvString)
		bad_approval(name, "It must be a string.");
	if (value.val.string.len == 0)
	{
		if (!may_be_empty)
			return NULL;
	}
	return pnstrdup(value.val.string.val, value.val.string.len);
}

static void
read_ids(const Jsonb *json, Approval *approval)
{
	approval->patient = member(json, "patient", false);
	if (approval->patient != NULL &&
		!fhir_id_is_valid(approval->patient, strlen(approval->patient)))
		bad_approval("patient", "It must be the id of a Patient.");
	approval->encounter = member(json, "encounter", false);
	if (approval->encounter != NULL &&
		!fhir_id_is_valid(approval->encounter, strlen(approval->encounter)))
		bad_approval("encounter", "It must be the id of an Encounter.");
}

static void
read_auth_time(const Jsonb *json, const AuthorizationRequest *request, Approval *approval)
{
	TimestampTz now = GetCurrentTimestamp();
	int64 auth_time = json_int(json, "auth_time", -1);
	int64 age;

	if (auth_time < 0)
	{
		if (json_has(json, "auth_time") && json_member(json, "auth_time") != NULL)
		{
			JsonbValue value;

			if (json_find(json, "auth_time", &value) && value.type != jbvNull)
				bad_approval("auth_time", "It must be a whole number of seconds since 1970.");
		}
		if (request->max_age >= 0)
			bad_approval("auth_time", "The request has max_age.");
		if (authorization_prompts(request, "login"))
			bad_approval("auth_time", "The request has prompt=login.");
		return;
	}
	if (auth_time > INT64CONST(253402300799))
		bad_approval("auth_time", "It must be a whole number of seconds since 1970.");
	approval->auth_time = time_t_to_timestamptz((pg_time_t) auth_time);
	age = (now - approval->auth_time) / USECS_PER_SEC;
	if (age < -CLOCK_SKEW_SECS)
		bad_approval("auth_time", "It is in the future.");
	if (request->max_age >= 0 && age > request->max_age + LOGIN_FRESH_SECS)
		bad_approval("auth_time", "It is longer ago than max_age allows: log in again.");
	if (authorization_prompts(request, "login") && age > LOGIN_FRESH_SECS)
		bad_approval("auth_time", "The request has prompt=login: log in again.");
}

void
approval_read(const Jsonb *json, Approval *approval)
{
	ScopeList list;
	ScopeError error;
	JsonbValue value;

	memset(approval, 0, sizeof(*approval));
	if (json_find(json, "denied", &value))
	{
		if (value.type != jbvBool && value.type != jbvNull)
			bad_approval("denied", "It must be true or false.");
		approval->denied = value.type == jbvBool && value.val.boolean;
		if (approval->denied)
			return;
	}
	approval->person.sub = member(json, "sub", false);
	if (approval->person.sub == NULL)
		bad_approval("sub", "It is required.");
	if (!person_sub_is_valid(approval->person.sub))
		bad_approval("sub", "It must have 1 to 255 printable ASCII characters.");
	if (client_find(approval->person.sub) != NULL)
		bad_approval("sub", "It is the client_id of a client.");
	approval->scope = member(json, "scope", true);
	if (approval->scope == NULL)
		bad_approval("scope", "It is required; the empty string denies.");
	if (!scope_parse(approval->scope, strlen(approval->scope), &list, &error))
		bad_approval("scope", "It is malformed.");
	approval->session = member(json, "session", false);
	read_ids(json, approval);
}

static void
read_fhir_user(const Jsonb *json, const char *base, Approval *approval)
{
	char *fhir_user = member(json, "fhirUser", false);

	if (fhir_user != NULL && !person_set_fhir_user(&approval->person, fhir_user, base))
		bad_approval("fhirUser", "It must be Type/id, or absolute under the aud of the request.");
}

/* Is the person who approves the one whose launch it is? */
static bool
is_launch_person(const AuthorizationRequest *request, const Approval *approval)
{
	char *sub = store_text(request->launch, LAUNCH_SUB);
	char *fhir_user = store_text(request->launch, LAUNCH_FHIR_USER);

	if (sub != NULL && strcmp(sub, approval->person.sub) != 0)
		return false;
	return fhir_user == NULL ||
		   (approval->person.fhir_user != NULL &&
			person_same_fhir_user(fhir_user, approval->person.fhir_user, request->audience));
}

/* False: another patient, or one that the person may not choose. */
static bool
settle_patient(const AuthorizationRequest *request, const Approval *approval, Settled *settled)
{
	char *of_launch = request->launch == NULL
						  ? NULL
						  : json_text(store_jsonb(request->launch, LAUNCH_CONTEXT), "patient");

	if (of_launch != NULL)
	{
		settled->patient = of_launch;
		return approval->patient == NULL || strcmp(approval->patient, of_launch) == 0;
	}
	if (!scope_text_has(request->scope, "launch/patient") &&
		!scope_text_has(request->scope, "launch"))
		return true;
	if (approval->patient == NULL)
	{
		settled->patient = approval->person.patient;
		return true;
	}
	settled->patient = approval->patient;
	return person_may_choose(
		&approval->person, approval->patient, request->client->client_id, request->configuration);
}

static bool
settle_encounter(const AuthorizationRequest *request, const Approval *approval, Settled *settled)
{
	char *of_launch = request->launch == NULL
						  ? NULL
						  : json_text(store_jsonb(request->launch, LAUNCH_CONTEXT), "encounter");

	if (of_launch != NULL)
	{
		settled->encounter = of_launch;
		return approval->encounter == NULL || strcmp(approval->encounter, of_launch) == 0;
	}
	if (request->configuration->encounter_picker &&
		scope_text_has(request->scope, "launch/encounter"))
		settled->encounter = approval->encounter;
	return true;
}

/* What of one asked resource scope the person left: whole, or the narrower ones that were ticked. */
static List *
narrowed(char *token, const ScopeList *asked, const ScopeList *approved, const char *approval)
{
	List *kept = NIL;
	ListCell *cell;
	ScopeList common;

	if (scope_list_covers(approved, asked))
		return list_make1(token);
	foreach(cell, scope_tokens(approval))
	{
		ScopeList one;

		scope_read(lfirst(cell), &one);
		if (one.n_items == 0 || one.items[0].kind != SCOPE_KIND_RESOURCE)
			continue;
		if (scope_list_covers(asked, &one))
			kept = lappend(kept, lfirst(cell));
		else if (scope_list_meet(asked, &one, &common) && common.n_items > 0)
			kept = lappend(kept, scope_list_text(&common));
	}
	return kept;
}

/* request, client and scopes_supported are in request->scope already; here it meets the approval. */
static char *
settle_scope(const AuthorizationRequest *request, const Approval *approval, const Settled *settled)
{
	List *kept = NIL;
	ListCell *cell;
	ScopeList approved;
	char *scope;

	scope_read(approval->scope, &approved);
	foreach(cell, scope_tokens(request->scope))
	{
		char *token = lfirst(cell);
		ScopeList one;

		scope_read(token, &one);
		if (one.n_items > 0 && one.items[0].kind == SCOPE_KIND_RESOURCE)
			kept = list_concat(kept, narrowed(token, &one, &approved, approval->scope));
		else if (strcmp(token, "openid") == 0 || strcmp(token, "fhirUser") == 0 ||
				 strcmp(token, "profile") == 0 || strcmp(token, "launch") == 0 ||
				 strncmp(token, "launch/", 7) == 0 || scope_text_has(approval->scope, token))
			kept = lappend(kept, token);
	}
	scope = scope_join(scope_tokens(scope_join(kept)));
	if (!person_is_user(&approval->person))
		scope = scope_without_level(scope, SCOPE_LEVEL_USER);
	if (approval->person.fhir_user == NULL)
		scope = scope_without(scope, "fhirUser");
	/* OC-73 */
	if (settled->patient == NULL)
		scope = scope_without(scope_without_level(scope, SCOPE_LEVEL_PATIENT), "launch/patient");
	if (settled->encounter == NULL)
		scope = scope_without(scope, "launch/encounter");
	return scope;
}

/* What a launch's context has beside patient and encounter. */
static Jsonb *
further_context(const AuthorizationRequest *request)
{
	JsonObject context;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue key, value;
	Jsonb *all;

	json_begin(&context);
	if (request->launch != NULL)
	{
		all = store_jsonb(request->launch, LAUNCH_CONTEXT);
		it = JsonbIteratorInit(&all->root);
		while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
		{
			char *name;

			if (token != WJB_KEY)
				continue;
			(void) JsonbIteratorNext(&it, &value, true);
			name = pnstrdup(key.val.string.val, key.val.string.len);
			if (strcmp(name, "patient") != 0 && strcmp(name, "encounter") != 0)
				json_add_jsonb(&context, name, json_from_value(&value));
		}
	}
	return json_end(&context);
}

char *
approval_add_grant(const AuthorizationRequest *request, const Approval *approval,
				   const Settled *settled)
{
	const OauthConfiguration *c = request->configuration;
	StoreRow *row = store_row(STORE_GRANT);
	TimestampTz now = GetCurrentTimestamp();
	char *grant_id = secret_make_id();
	bool offline = scope_text_has(settled->scope, "offline_access");
	bool online = scope_text_has(settled->scope, "online_access");
	/* without a refresh token the consent is remembered as long as a session lasts */
	int code_lifetime = Max(c->code_lifetime, c->device_lifetime);
	int64 lifetime = Max(c->online_lifetime, code_lifetime + c->access_token_lifetime);
	TimestampTz expires_at = now + (offline ? c->offline_lifetime : lifetime) * USECS_PER_SEC;
	TimestampTz ends_at = DT_NOEND;

	if (offline && c->offline_max_lifetime > 0)
		ends_at = now + c->offline_max_lifetime * USECS_PER_SEC;
	else if (online)
		ends_at = now + c->online_lifetime * USECS_PER_SEC;

	store_set_text(row, GRANT_GRANT_ID, grant_id);
	store_set_text(row, GRANT_CLIENT_ID, request->client->client_id);
	store_set_text(row, GRANT_SUB, approval->person.sub);
	store_set_text(row, GRANT_SESSION, approval->session);
	store_set_text(row, GRANT_PATIENT, settled->patient);
	store_set_text(row, GRANT_ENCOUNTER, settled->encounter);
	store_set_text(row, GRANT_FHIR_USER, approval->person.fhir_user);
	store_set_text(row, GRANT_AUDIENCE, request->audience);
	store_set_text(row, GRANT_SCOPE, settled->scope);
	store_set(row, GRANT_CONTEXT, JsonbPGetDatum(further_context(request)));
	store_set_text(row, GRANT_REFRESH, offline ? "offline" : online ? "online" : NULL);
	if (approval->auth_time != 0)
		store_set(row, GRANT_AUTH_TIME, TimestampTzGetDatum(approval->auth_time));
	store_set(row, GRANT_GRANTED_AT, TimestampTzGetDatum(now));
	if (ends_at != DT_NOEND)
		store_set(row, GRANT_ENDS_AT, TimestampTzGetDatum(ends_at));
	store_set(row, GRANT_EXPIRES_AT, TimestampTzGetDatum(Min(expires_at, ends_at)));
	store_insert(row);
	if (request->client->dynamic && !request->client->approved)
		client_add_event(request->client->client_id, "approved", NULL);
	trail_grant(&(TrailGrant){.event = "grant",
							  .issuer = c->issuer,
							  .client_id = request->client->client_id,
							  .subject = approval->person.sub,
							  .fhir_user = approval->person.fhir_user,
							  .patient = settled->patient,
							  .encounter = settled->encounter,
							  .scope = settled->scope,
							  .grant_id = grant_id});
	return grant_id;
}

const char *
approval_settle(const Jsonb *json, const AuthorizationRequest *request, Approval *approval,
				Settled *settled)
{
	memset(settled, 0, sizeof(*settled));
	if (approval->denied)
		return "the person denied access";
	read_fhir_user(json, request->audience, approval);
	read_auth_time(json, request, approval);
	if (request->launch != NULL && !is_launch_person(request, approval))
		return "the launch was made for another person";
	if (!settle_patient(request, approval, settled))
		return "the patient cannot be chosen";
	if (!settle_encounter(request, approval, settled))
		return "the encounter cannot be chosen";
	settled->scope =
		*approval->scope == '\0' ? pstrdup("") : settle_scope(request, approval, settled);
	if (!scope_has_resource(settled->scope, -1) && !scope_text_has(settled->scope, "openid"))
		return "nothing was granted";
	return NULL;
}
