/*
 * src/oauth/cds.c
 *		CDS Hooks 2.0: requests of CDS clients, the authorization that they bring, and the one that
 *		is sent to a service. smart-rules 10.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "fhir/fhir.h"
#include "oauth/assertion.h"
#include "oauth/client.h"
#include "oauth/configuration.h"
#include "oauth/json.h"
#include "oauth/jti.h"
#include "oauth/mint.h"
#include "oauth/person.h"
#include "oauth/procedures.h"
#include "oauth/scope.h"
#include "oauth/store.h"
#include "oauth/uri.h"

#define CDS_MAX_LIFETIME_SECS 300

PG_FUNCTION_INFO_V1(smart_oauth_verify_cds_request);
PG_FUNCTION_INFO_V1(smart_oauth_check_cds_authorization);
PG_FUNCTION_INFO_V1(smart_oauth_cds_authorization);

/* ---- a request of a CDS client ---- */

/* OC-91: where tenants are listed, one of them must be named. */
static bool
tenant_fits(const StoreRow *row, Jsonb *claims)
{
	char *tenant = json_text(claims, "tenant");
	Datum *elements;
	bool *nulls;
	int n;

	if (row->nulls[CDS_CLIENT_TENANTS])
		return true;
	deconstruct_array(DatumGetArrayTypeP(row->values[CDS_CLIENT_TENANTS]),
					  TEXTOID,
					  -1,
					  false,
					  TYPALIGN_INT,
					  &elements,
					  &nulls,
					  &n);
	for (int i = 0; i < n; i++)
		if (tenant != NULL && !nulls[i] && strcmp(TextDatumGetCString(elements[i]), tenant) == 0)
			return true;
	return false;
}

/* CD-2 to CD-8, OC-46, OC-90. */
static JoseStatus
verify(const char *jwt, const char *audience, Jsonb **claims)
{
	AssertionRules rules = {0};
	JwsToken token;
	StoreRow *row;
	TimestampTz until;
	const char *jti;
	char *iss;
	JoseStatus status = assertion_read(jwt, &token, claims);

	if (status != JOSE_OK)
		return status;
	iss = json_text(*claims, "iss");
	row = iss == NULL ? NULL : store_find(STORE_CDS_CLIENT_BY_ISS, CStringGetTextDatum(iss));
	if (row == NULL)
		return JOSE_UNKNOWN_ISSUER;
	rules.jwks = store_jsonb(row, CDS_CLIENT_JWKS);
	rules.jku = store_text(row, CDS_CLIENT_JKU);
	rules.algorithms = JOSE_ASYMMETRIC;
	rules.iat_required = true;
	rules.audiences = list_make1(unconstify(char *, audience));
	status = assertion_verify(&token, *claims, &rules, &jti, &until);
	if (status != JOSE_OK)
		return status;
	if (!tenant_fits(row, *claims))
		return JOSE_CLIENT;
	return jti_burn("cds", iss, jti, until) ? JOSE_OK : JOSE_REVOKED;
}

static Jsonb *
verify_request(FunctionCallInfo fcinfo, const void *arg)
{
	Jsonb *claims;
	JoseStatus status = PG_ARGISNULL(0) ? JOSE_MALFORMED
										: verify(text_to_cstring(PG_GETARG_TEXT_PP(0)),
												 text_to_cstring(PG_GETARG_TEXT_PP(1)),
												 &claims);

	if (status != JOSE_OK)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				errmsg("JWT of a CDS client is not accepted"),
				errdetail("%s",
						  status == JOSE_REVOKED ? "Its jti was used before."
												 : jose_status_detail(status)),
				errhidestmt(true),
				errhidecontext(true),
				err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
				err_generic_string(PG_DIAG_CONSTRAINT_NAME,
								   status == JOSE_REVOKED ? "jti_used" : jose_status_code(status)));
	procedure_make_durable();
	return claims;
}

/* smart.verify_cds_request(jwt text, audience text, INOUT claims jsonb) */
Datum
smart_oauth_verify_cds_request(PG_FUNCTION_ARGS)
{
	procedure_require_nonatomic(fcinfo, "smart.verify_cds_request()");
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("parameter \"%s\" must not be null", "audience"),
				err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
				err_generic_string(PG_DIAG_CONSTRAINT_NAME, "invalid_parameter"));
	return procedure_commit(fcinfo, verify_request, NULL);
}

/* ---- what stands in a hook's request ---- */

static void
refuse_authorization(const char *detail)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			errmsg("fhirAuthorization is not accepted"),
			errdetail("%s", detail),
			errhidestmt(true),
			errhidecontext(true),
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "fhir_authorization"));
}

static void
refuse_parameter(const char *name, const char *detail)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid value for parameter \"%s\"", name),
			errdetail("%s", detail),
			errhidestmt(true),
			errhidecontext(true),
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "invalid_parameter"));
}

static Jsonb *
hook_request_argument(FunctionCallInfo fcinfo, int arg)
{
	Jsonb *request;

	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("parameter \"%s\" must not be null", "hook_request"),
				err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
				err_generic_string(PG_DIAG_CONSTRAINT_NAME, "invalid_parameter"));
	request = PG_GETARG_JSONB_P(arg);
	if (!JB_ROOT_IS_OBJECT(request))
		refuse_parameter("hook_request", "It must be a JSON object.");
	return request;
}

static char *
context_text(const Jsonb *hook_request, const char *name)
{
	Jsonb *context = json_member(hook_request, "context");

	return context == NULL || !JB_ROOT_IS_OBJECT(context) ? NULL : json_text(context, name);
}

/* Who is logged in, "Type/id" of a type that SMART knows as user; NULL: nobody. */
static char *
hook_user(const Jsonb *hook_request)
{
	char *user = context_text(hook_request, "userId");
	Person person = {0};

	return user != NULL && strstr(user, "://") == NULL &&
				   person_set_fhir_user(&person, user, "https://base.invalid") &&
				   person_is_user(&person)
			   ? user
			   : NULL;
}

/* Does it have a resource scope of this level? */
static bool
has_level(const ScopeList *list, ScopeLevel level)
{
	for (int i = 0; i < list->n_items; i++)
		if (list->items[i].kind == SCOPE_KIND_RESOURCE && list->items[i].level == level)
			return true;
	return false;
}

/* ---- an authorization that a CDS service gets ---- */

/* smart.check_cds_authorization(hook_request jsonb) -> jsonb; CF-1 to CF-6. */
Datum
smart_oauth_check_cds_authorization(PG_FUNCTION_ARGS)
{
	Jsonb *request = hook_request_argument(fcinfo, 0);
	Jsonb *authorization;
	ScopeList list;
	ScopeError error;
	JsonbValue expires_in;
	char *server;
	char *type;
	char *text;
	char *scope;
	char *subject;

	if (!json_has(request, "fhirAuthorization"))
		PG_RETURN_NULL();
	authorization = json_member(request, "fhirAuthorization");
	if (authorization == NULL || !JB_ROOT_IS_OBJECT(authorization))
		refuse_authorization("It must be a JSON object.");
	server = json_text(request, "fhirServer");
	if (server == NULL || !uri_is_secure(server))
		refuse_authorization("fhirServer must be there, an https URL.");
	text = json_text(authorization, "access_token");
	type = json_text(authorization, "token_type");
	scope = json_text(authorization, "scope");
	subject = json_text(authorization, "subject");
	if (text == NULL || *text == '\0' || scope == NULL || subject == NULL || *subject == '\0')
		refuse_authorization("access_token, scope and subject must be there.");
	if (type == NULL || pg_strcasecmp(type, "Bearer") != 0)
		refuse_authorization("token_type must be Bearer.");
	if (!json_find(authorization, "expires_in", &expires_in) || expires_in.type != jbvNumeric ||
		json_int(authorization, "expires_in", 0) <= 0)
		refuse_authorization("expires_in must be a whole number of seconds.");
	if (!scope_parse(scope, strlen(scope), &list, &error))
		refuse_authorization("The scope is malformed.");
	if (has_level(&list, SCOPE_LEVEL_SYSTEM))
		refuse_authorization("The scope has system/.");
	text = json_text(authorization, "patient");
	if (json_has(authorization, "patient") || has_level(&list, SCOPE_LEVEL_PATIENT))
	{
		char *patient = context_text(request, "patientId");

		if (text == NULL || patient == NULL || strcmp(text, patient) != 0 ||
			!fhir_id_is_valid(text, strlen(text)))
			refuse_authorization("patient is not the patientId of the hook's context.");
	}
	if (has_level(&list, SCOPE_LEVEL_USER) && hook_user(request) == NULL)
		refuse_authorization("The scope has user/, and the hook's context no userId.");
	PG_RETURN_JSONB_P(authorization);
}

/* ---- an authorization for a CDS service that is called ---- */

static bool
is_uuid(const char *text)
{
	static const char pattern[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (strlen(text) != strlen(pattern))
		return false;
	for (size_t i = 0; i < strlen(pattern); i++)
		if (pattern[i] == '-' ? text[i] != '-' : strchr("0123456789abcdefABCDEF", text[i]) == NULL)
			return false;
	return true;
}

static char *
hook_server(const Jsonb *request)
{
	const OauthConfiguration *c = configuration_get();
	char *server = json_text(request, "fhirServer");

	if (server == NULL && !json_has(request, "fhirServer") && list_length(c->fhir_base_urls) == 1)
		return linitial(c->fhir_base_urls);
	if (server == NULL || !configuration_is_base(c, server))
		refuse_parameter("hook_request", "Its fhirServer must be one of fhir_base_urls.");
	return server;
}

/* Within what the client and the server may give, strictly: nothing is cut (CF-2, CF-4, CF-5). */
static void
check_scope(const char *scope, const OauthClient *client, ScopeList *list)
{
	ScopeError error;
	bool resource = false;

	if (!scope_parse(scope, strlen(scope), list, &error))
		refuse_parameter("scope", "It is malformed.");
	for (int i = 0; i < list->n_items; i++)
	{
		const ScopeItem *item = &list->items[i];

		if (item->kind == SCOPE_KIND_RESOURCE && item->level == SCOPE_LEVEL_SYSTEM)
			refuse_parameter("scope", "A CDS service gets no system/.");
		if (item->kind != SCOPE_KIND_RESOURCE &&
			(strcmp(item->text, "openid") == 0 || strcmp(item->text, "offline_access") == 0 ||
			 strcmp(item->text, "online_access") == 0))
			refuse_parameter("scope",
							 "A CDS service gets no openid, offline_access, online_access.");
		resource = resource || item->kind == SCOPE_KIND_RESOURCE;
	}
	if (!resource)
		refuse_parameter("scope", "It has no resource scope.");
	if (!scope_list_covers(&client->scope, list) ||
		!scope_list_covers(&configuration_get()->scopes_supported, list))
		refuse_parameter("scope", "It is more than the client may have, or scopes_supported.");
}

/*
 * smart.cds_authorization(client_id text, hook_request jsonb, scope text, lifetime int) -> jsonb. The
 * grant is the client's own, as for client_credentials: disabling the client ends these tokens.
 */
Datum
smart_oauth_cds_authorization(PG_FUNCTION_ARGS)
{
	Jsonb *request = hook_request_argument(fcinfo, 1);
	char *client_id = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *scope = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	int lifetime = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT32(3);
	const OauthClient *client = client_id == NULL ? NULL : client_find(client_id);
	AccessToken token = {0};
	Person person = {0};
	ScopeList list;
	JsonObject answer;
	char *instance;
	char *patient;
	char *user;

	if (client == NULL || !client->enabled)
		refuse_parameter("client_id", "There is no enabled client of this name.");
	if (scope == NULL)
		refuse_parameter("scope", "It must not be null.");
	if (lifetime < 1 || lifetime > CDS_MAX_LIFETIME_SECS)
		refuse_parameter("lifetime", "It must be 1 to 300 seconds.");
	check_scope(scope, client, &list);
	instance = json_text(request, "hookInstance");
	if (instance == NULL || !is_uuid(instance))
		refuse_parameter("hook_request", "Its hookInstance must be a UUID.");
	patient = context_text(request, "patientId");
	if (patient != NULL && !fhir_id_is_valid(patient, strlen(patient)))
		refuse_parameter("hook_request", "Its context.patientId must be the id of a Patient.");
	if (patient == NULL && has_level(&list, SCOPE_LEVEL_PATIENT))
		refuse_parameter("hook_request",
						 "Its context has no patientId, and the scope has patient/.");
	user = hook_user(request);
	if (user == NULL && has_level(&list, SCOPE_LEVEL_USER))
		refuse_parameter("hook_request",
						 "Its context has no userId that is a user, and the scope has user/.");
	token.audience = hook_server(request);
	if (user != NULL)
		(void) person_set_fhir_user(&person, user, token.audience);
	token.subject = user != NULL ? user : client->client_id;
	token.client_id = client->client_id;
	token.scope = scope_join(scope_tokens(scope));
	token.grant_id = client->grant_id;
	token.patient = patient;
	token.fhir_user = person.fhir_user;
	token.hook_instance = instance;
	token.issued_at = GetCurrentTimestamp();
	token.lifetime = lifetime;
	json_begin(&answer);
	json_add_text(&answer, "access_token", mint_access_token(&token));
	json_add_text(&answer, "token_type", "Bearer");
	json_add_int(&answer, "expires_in", lifetime);
	json_add_text(&answer, "scope", token.scope);
	json_add_text(&answer, "subject", client->client_id);
	if (has_level(&list, SCOPE_LEVEL_PATIENT))
		json_add_text(&answer, "patient", patient);
	PG_RETURN_JSONB_P(json_end(&answer));
}
