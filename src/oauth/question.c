/*
 * src/oauth/question.c
 *		What a front end must ask a person before an approval can be given: the answer of smart.authorize() and of
 *		smart.device_request(). Knows nothing of how the request came, nor of redirects.
 */
#include "postgres.h"

#include "compat.h"
#include "oauth/consent.h"
#include "oauth/json.h"
#include "oauth/narrower.h"
#include "oauth/question.h"
#include "oauth/scope.h"
#include "oauth/wording.h"
#include "scope/letters.h"

static void
bad_person(const char *member)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid value for parameter \"%s\"", "person"),
			errdetail("The member \"%s\" is not what it should be.", member));
}

/* A member that is a string or absent; null counts as absent. */
static char *
person_member(const Jsonb *person, const char *name)
{
	JsonbValue value;

	if (!json_find(person, name, &value) || value.type == jbvNull)
		return NULL;
	if (value.type != jbvString || value.val.string.len == 0)
		bad_person(name);
	return pnstrdup(value.val.string.val, value.val.string.len);
}

void
question_read_person(const Jsonb *person, const char *base, Known *known)
{
	char *fhir_user;

	memset(known, 0, sizeof(*known));
	if (person == NULL)
		return;
	known->person.sub = person_member(person, "sub");
	if (known->person.sub != NULL && !person_sub_is_valid(known->person.sub))
		bad_person("sub");
	fhir_user = person_member(person, "fhirUser");
	if (fhir_user != NULL && !person_set_fhir_user(&known->person, fhir_user, base))
		bad_person("fhirUser");
	known->patient = person_member(person, "patient");
}

void
question_check_person(const Jsonb *person)
{
	if (person != NULL && !JB_ROOT_IS_OBJECT(person))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid value for parameter \"%s\"", "person"),
				errdetail("It must be a JSON object, or NULL."));
}

char *
question_who(const Jsonb *person)
{
	char *who = NULL;

	if (person != NULL)
	{
		who = person_member(person, "sub");
		if (who == NULL)
			who = person_member(person, "fhirUser");
	}
	return who == NULL ? pstrdup("") : who;
}

/* As far as both are known, and something is: the launch was made in this person's session. */
static bool
is_launch_person(const AuthorizationRequest *request, const Known *known)
{
	char *sub = store_text(request->launch, LAUNCH_SUB);
	char *fhir_user = store_text(request->launch, LAUNCH_FHIR_USER);
	bool compared = false;

	if (sub != NULL && known->person.sub != NULL)
	{
		if (strcmp(sub, known->person.sub) != 0)
			return false;
		compared = true;
	}
	if (fhir_user != NULL && known->person.fhir_user != NULL)
	{
		if (!person_same_fhir_user(fhir_user, known->person.fhir_user, request->audience))
			return false;
		compared = true;
	}
	return compared;
}

/* The patient that approve() would take if the person chose nothing. */
static char *
expected_patient(const AuthorizationRequest *request, const Known *known)
{
	char *patient = request->launch == NULL
						? NULL
						: json_text(store_jsonb(request->launch, LAUNCH_CONTEXT), "patient");

	if (patient != NULL)
		return patient;
	if (!scope_text_has(request->scope, "launch/patient") &&
		!scope_text_has(request->scope, "launch"))
		return NULL;
	if (known->patient != NULL)
		return known->patient;
	return request->configuration->user_patients == NULL ? known->person.patient : NULL;
}

static bool
needs_consent(const AuthorizationRequest *request, const char *before)
{
	const OauthClient *client = request->client;

	/* RFC 8628 5.4: somebody else may have begun what a user code belongs to */
	return request->redirect_uri == NULL || authorization_prompts(request, "consent") ||
		   client->dynamic || (client->native && client->auth_method == CLIENT_AUTH_NONE) ||
		   scope_text_has(request->scope, "offline_access") || *before == '\0' ||
		   !scope_covers(before, request->scope);
}

static Jsonb *
scope_entry(char *token, const char *before)
{
	JsonObject entry;
	ScopeList list;
	const ScopeItem *item = NULL;
	static const char *const levels[] = {"patient", "user", "system"};

	scope_read(token, &list);
	if (list.n_items > 0 && list.items[0].kind == SCOPE_KIND_RESOURCE)
		item = &list.items[0];
	json_begin(&entry);
	json_add_text(&entry, "scope", token);
	if (item != NULL)
	{
		char letters[8];

		json_add_text(&entry, "level", levels[item->level]);
		json_add_text(&entry, "resource_type", item->resource_type);
		json_add_text(&entry, "permissions", scope_permissions_text(item->permissions, letters));
	}
	else
	{
		json_add_null(&entry, "level");
		json_add_null(&entry, "resource_type");
		json_add_null(&entry, "permissions");
	}
	json_add_text(&entry, "text", wording_scope(token, item));
	json_add_bool(&entry, "granted_before", *before != '\0' && scope_covers(before, token));
	{
		List *narrower = NIL;
		ListCell *cell;

		if (item != NULL && list.n_items == 1)
			foreach(cell, narrower_scopes(item))
			{
				JsonObject one;
				ScopeList parsed;

				scope_read(lfirst(cell), &parsed);
				json_begin(&one);
				json_add_text(&one, "scope", lfirst(cell));
				json_add_text(&one, "text", wording_scope(lfirst(cell), &parsed.items[0]));
				narrower = lappend(narrower, json_end(&one));
			}
		json_add_array(&entry, "narrower", narrower);
	}
	return json_end(&entry);
}

static Jsonb *
client_entry(const OauthClient *client)
{
	static const char *const members[] = {
		"client_name", "logo_uri", "client_uri", "policy_uri", "tos_uri"};
	JsonObject entry;

	json_begin(&entry);
	json_add_text(&entry, "client_id", client->client_id);
	for (size_t i = 0; i < lengthof(members); i++)
		json_add_text(&entry, members[i], json_text(client->metadata, members[i]));
	json_add_bool(&entry, "dynamic", client->dynamic);
	return json_end(&entry);
}

static Jsonb *
empty_object(void)
{
	JsonObject empty;

	json_begin(&empty);
	return json_end(&empty);
}

void
question_make(const AuthorizationRequest *request, const Known *known, Question *question)
{
	char *patient = expected_patient(request, known);
	bool ask_patient = scope_text_has(request->scope, "launch/patient") && patient == NULL;

	question->before = "";
	question->needs = NIL;
	if (known->person.sub != NULL)
		question->before =
			consent_scope(known->person.sub, request->client, patient, known->person.fhir_user);
	if (known->person.sub == NULL || authorization_prompts(request, "select_account"))
		question->needs = lappend(question->needs, "user");
	if (ask_patient)
		question->needs = lappend(question->needs, "patient");
	if (scope_text_has(request->scope, "launch/encounter") &&
		request->configuration->encounter_picker &&
		(request->launch == NULL ||
		 !json_has(store_jsonb(request->launch, LAUNCH_CONTEXT), "encounter")))
		question->needs = lappend(question->needs, "encounter");
	if (needs_consent(request, question->before))
		question->needs = lappend(question->needs, "consent");
}

static void
add_launch(const AuthorizationRequest *request, const Known *known, JsonObject *body)
{
	char *fhir_user = NULL;

	if (request->launch == NULL)
		json_add_null(body, "launch");
	else if (is_launch_person(request, known))
	{
		fhir_user = store_text(request->launch, LAUNCH_FHIR_USER);
		json_add_jsonb(body, "launch", store_jsonb(request->launch, LAUNCH_CONTEXT));
	}
	else
		json_add_jsonb(body, "launch", empty_object());
	if (fhir_user != NULL)
		json_add_text(body, "fhirUser", fhir_user);
	else
		json_add_null(body, "fhirUser");
}

Jsonb *
question_body(const AuthorizationRequest *request, const Known *known, const Question *question)
{
	List *scopes = NIL;
	ListCell *cell;
	JsonObject body;

	foreach(cell, scope_tokens(request->scope))
		scopes = lappend(scopes, scope_entry(lfirst(cell), question->before));
	json_begin(&body);
	json_add_jsonb(&body, "client", client_entry(request->client));
	json_add_array(&body, "scopes", scopes);
	add_launch(request, known, &body);
	if (request->prompt != NULL)
		json_add_text(&body, "prompt", request->prompt);
	else
		json_add_null(&body, "prompt");
	if (request->max_age >= 0)
		json_add_text(&body, "max_age", request->max_age_text);
	else
		json_add_null(&body, "max_age");
	json_add_texts(&body, "needs", question->needs);
	return json_end(&body);
}
