/*
 * src/oauth/administration.c
 *		What the SQL of configuration and registration (sql/oauth/20 and 30) asks C for: whether URIs,
 *		scopes and key sets may be registered, new secrets, answers, ends of clients and grants.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "compat.h"
#include "jose/jose.h"
#include "oauth/answer.h"
#include "oauth/client.h"
#include "oauth/configuration.h"
#include "oauth/grant.h"
#include "oauth/json.h"
#include "oauth/scope.h"
#include "oauth/secret.h"
#include "oauth/uri.h"
#include "scope/parse.h"
#include "session/trail.h"

PG_FUNCTION_INFO_V1(smart_oauth_uri_fault);
PG_FUNCTION_INFO_V1(smart_oauth_scope_fault);
PG_FUNCTION_INFO_V1(smart_oauth_scope_meet);
PG_FUNCTION_INFO_V1(smart_oauth_jwks_fault);
PG_FUNCTION_INFO_V1(smart_oauth_make_secret);
PG_FUNCTION_INFO_V1(smart_oauth_make_id);
PG_FUNCTION_INFO_V1(smart_oauth_answer);
PG_FUNCTION_INFO_V1(smart_oauth_error_answer);
PG_FUNCTION_INFO_V1(smart_oauth_end_client);
PG_FUNCTION_INFO_V1(smart_oauth_end_grant);
PG_FUNCTION_INFO_V1(smart_oauth_redirects_to);
PG_FUNCTION_INFO_V1(smart_oauth_tell);

static Datum
text_or_null(FunctionCallInfo fcinfo, const char *text)
{
	if (text == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

/* (uri text, kind text) -> text: why it may not be an endpoint, a base, a redirect_uri; NULL: it may */
Datum
smart_oauth_uri_fault(PG_FUNCTION_ARGS)
{
	char *uri = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *kind = text_to_cstring(PG_GETARG_TEXT_PP(1));
	const char *fault = NULL;
	UriParts parts;

	if (strcmp(kind, "base") == 0)
	{
		if (!uri_is_base(uri))
			fault = "It must be an http or https URL without query and fragment.";
	}
	else if (strcmp(kind, "issuer") == 0)
	{
		if (!uri_is_secure(uri) || !uri_parse(uri, &parts) || parts.query != NULL)
			fault = "It must be an https URL without query and fragment; http is for localhost, "
					"127.0.0.1 and [::1] alone.";
	}
	else if (strcmp(kind, "https") == 0)
	{
		if (!uri_is_secure(uri) || pg_strncasecmp(uri, "https:", 6) != 0)
			fault = "It must be an https URL of at most 2000 bytes.";
	}
	else if (strcmp(kind, "redirect") == 0)
		fault = uri_redirect_fault(uri, false);
	else if (strcmp(kind, "native redirect") == 0)
		fault = uri_redirect_fault(uri, true);
	else if (!uri_is_secure(uri))
		fault = "It must be an https URL; http is for localhost, 127.0.0.1 and [::1] alone.";
	return text_or_null(fcinfo, fault);
}

/* (scope text) -> text: why it is no scope string; NULL: it is one */
Datum
smart_oauth_scope_fault(PG_FUNCTION_ARGS)
{
	text *scope = PG_GETARG_TEXT_PP(0);
	ScopeList list;
	ScopeError error = {0};

	if (scope_parse(VARDATA_ANY(scope), VARSIZE_ANY_EXHDR(scope), &list, &error))
		PG_RETURN_NULL();
	return text_or_null(fcinfo, psprintf("The scope is malformed: %s.", error.reason));
}

/* (scope text, most text) -> text: the tokens of scope that most covers, else what both grant */
Datum
smart_oauth_scope_meet(PG_FUNCTION_ARGS)
{
	ScopeList most;

	scope_read(text_to_cstring(PG_GETARG_TEXT_PP(1)), &most);
	PG_RETURN_TEXT_P(cstring_to_text(scope_cut(text_to_cstring(PG_GETARG_TEXT_PP(0)), &most)));
}

/*
 * (jwks jsonb) -> text: why a client may not register these keys; NULL: it may. Each key needs a
 * kid of its own (CA-1, CA-16).
 */
Datum
smart_oauth_jwks_fault(PG_FUNCTION_ARGS)
{
	Jsonb *jwks = PG_GETARG_JSONB_P(0);
	const char *error;
	JoseKeySet *set;
	JsonbValue keys;
	JsonbValue item;
	JsonbIterator *it;
	JsonbIteratorToken token;
	List *kids = NIL;

	if (!json_find(jwks, "keys", &keys) || keys.type != jbvBinary ||
		!JsonContainerIsArray(keys.val.binary.data))
		return text_or_null(fcinfo, "It must be an object with an array \"keys\" (RFC 7517 5).");
	set = jose_keyset_parse(jwks, true, &error);
	if (set == NULL)
		return text_or_null(fcinfo, error);
	if (jose_keyset_size(set) == 0)
		return text_or_null(fcinfo, "It has no public key that can be used.");
	it = JsonbIteratorInit(keys.val.binary.data);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		Jsonb *key;
		char *kid;
		ListCell *cell;

		if (token != WJB_ELEM)
			continue;
		key = json_from_value(&item);
		kid = json_text(key, "kid");
		if (kid == NULL || *kid == '\0')
			return text_or_null(fcinfo, "A key has no kid.");
		foreach(cell, kids)
			if (strcmp(lfirst(cell), kid) == 0)
				return text_or_null(fcinfo, "Two keys have the same kid.");
		kids = lappend(kids, kid);
	}
	PG_RETURN_NULL();
}

Datum
smart_oauth_make_secret(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(secret_make()));
}

Datum
smart_oauth_make_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(secret_make_id()));
}

/* (status int, body jsonb) -> jsonb */
Datum
smart_oauth_answer(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(answer_json(PG_GETARG_INT32(0), PG_GETARG_JSONB_P(1)));
}

/* (status int, error text, description text, header text, value text) -> jsonb; header may be NULL */
Datum
smart_oauth_error_answer(PG_FUNCTION_ARGS)
{
	Jsonb *body;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	body = answer_error_body(text_to_cstring(PG_GETARG_TEXT_PP(1)),
							 text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (PG_ARGISNULL(3) || PG_ARGISNULL(4))
		PG_RETURN_JSONB_P(answer_json(PG_GETARG_INT32(0), body));
	PG_RETURN_JSONB_P(answer_json_header(PG_GETARG_INT32(0),
										 body,
										 text_to_cstring(PG_GETARG_TEXT_PP(3)),
										 text_to_cstring(PG_GETARG_TEXT_PP(4))));
}

/* (client_id text, event text) -> boolean: false when there is no such client */
Datum
smart_oauth_end_client(PG_FUNCTION_ARGS)
{
	const OauthClient *client = client_find(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (client == NULL)
		PG_RETURN_BOOL(false);
	grant_end_client(client, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_BOOL(true);
}

/* (grant_id text) -> void */
Datum
smart_oauth_end_grant(PG_FUNCTION_ARGS)
{
	char *grant_id = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (!grant_id_is_ended(grant_id))
		grant_end(grant_id);
	PG_RETURN_VOID();
}

/* (client_id text, uri text) -> boolean: is it one of its redirect_uris? */
Datum
smart_oauth_redirects_to(PG_FUNCTION_ARGS)
{
	const OauthClient *client = client_find(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_BOOL(client != NULL &&
				   client_redirects_to(client, text_to_cstring(PG_GETARG_TEXT_PP(1))));
}

/* (event, client_id, sub, fhir_user, patient, encounter, scope text) -> void: what SQL has done, to the audit trail */
Datum
smart_oauth_tell(PG_FUNCTION_ARGS)
{
	static const char *const events[] = {"launch", "register"};
	char *given[7];
	TrailGrant grant = {0};

	for (int i = 0; i < (int) lengthof(given); i++)
		given[i] = PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
	for (size_t i = 0; i < lengthof(events); i++)
		if (given[0] != NULL && strcmp(given[0], events[i]) == 0)
			grant.event = events[i];
	if (grant.event == NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid value for parameter \"%s\"", "event"));
	grant.client_id = given[1];
	grant.subject = given[2];
	grant.fhir_user = given[3];
	grant.patient = given[4];
	grant.encounter = given[5];
	grant.scope = given[6];
	trail_grant(&grant);
	PG_RETURN_VOID();
}
