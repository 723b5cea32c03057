/*
 * src/access_explain.c
 *		smart.explain(): for a person, why a resource is or is not allowed.
 *
 * It asks the same functions as the decision, grant by grant, and adds what PostgreSQL itself
 * does: roles that row-level security does not bind, relations that are not protected.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "access.h"
#include "access_functions.h"
#include "compat.h"
#include "session.h"

PG_FUNCTION_INFO_V1(smart_explain);

static void
put(ReturnSetInfo *result, const char *scope, const char *verdict, const char *reason)
{
	Datum		values[3];
	bool		nulls[3] = {scope == NULL, false, false};

	values[0] = scope == NULL ? (Datum) 0 : CStringGetTextDatum(scope);
	values[1] = CStringGetTextDatum(verdict);
	values[2] = CStringGetTextDatum(reason);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static const char *
reason_text(AccessReason reason, const AccessGrant *grant)
{
	static const char *const people[] = {"the session has no patient in context",
										 "the session has no usable fhirUser",
										 "the level is not granted"};

	switch (reason)
	{
		case ACCESS_ALLOWED:
			return "level, type, letter, parameters and patient fit";
		case ACCESS_NOT_A_RESOURCE:
			return "this is no resource of the table's type and FHIR version";
		case ACCESS_BASE_URL:
			return "the token does not open the FHIR base of this table (aud, base_urls)";
		case ACCESS_NO_SCOPE:
			return "the scope does not hold the letter";
		case ACCESS_CONSTRAINT:
			return "a search parameter of the scope does not match";
		case ACCESS_NO_PERSON:
			return grant ? people[grant->level] : "the session has no person";
		case ACCESS_OUTSIDE:
			return "the type is in no patient's compartment, and is not shared";
		case ACCESS_OTHER_PATIENT:
			return "the record is not about a patient of the session, or not only";
		case ACCESS_SHARED_WRITE:
			return "shared types are written under system/, or user/ with user_sees_all";
	}
	return "";
}

/* What PostgreSQL does before any policy is asked. */
static void
explain_role(ReturnSetInfo *result, Oid relid)
{
	if (superuser())
		put(result, NULL, "allows", "the current role is a superuser: row-level security does not bind it");
	else if (has_bypassrls_privilege(GetUserId()))
		put(result, NULL, "allows", "the current role has BYPASSRLS: row-level security does not bind it");
	else if (OidIsValid(relid) && check_enable_rls(relid, InvalidOid, true) != RLS_ENABLED)
		put(result, NULL, "allows", "row-level security is not active for the current role on this table");
}

Datum
smart_explain(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	AccessTable table;
	FhirText	type;
	AccessRow	row;
	int			letter = access_letter_arg(fcinfo, 1);
	Oid			relid = PG_ARGISNULL(2) ? InvalidOid : PG_GETARG_OID(2);
	const Session *session = session_current();
	const AccessGrants *grants;
	AccessReason reason;
	JoseStatus	status;

	InitMaterializedSRF(fcinfo, 0);
	explain_role(result, relid);
	if (session == NULL)
	{
		put(result, NULL, "denies", "nobody is logged in");
		PG_RETURN_NULL();
	}
	status = session_status(session);
	if (status != JOSE_OK)
	{
		put(result, NULL, "denies", jose_status_detail(status));
		PG_RETURN_NULL();
	}
	access_table_arg(relid, &table, &type);
	access_row_init(&row);
	row.valid = !PG_ARGISNULL(0) && access_row_from_resource(&row, PG_GETARG_JSONB_P(0), &table, type);
	reason = access_row_reason(session, &table, &row);
	if (reason != ACCESS_ALLOWED)
		put(result, NULL, "denies", reason_text(reason, NULL));
	else
	{
		grants = access_grants(session_text(session, session->grants), table.version, row.resource.type);
		for (int i = 0; i < grants->n; i++)
		{
			reason = access_grant_reason(session, &table, &row, &grants->grants[i], letter);
			put(result,
				grants->grants[i].text,
				reason == ACCESS_ALLOWED ? "allows" : "denies",
				reason_text(reason, &grants->grants[i]));
		}
		if (grants->n == 0)
			put(result, NULL, "denies", "no scope of the session reaches this resource type");
	}
	access_row_reset(&row);
	if (session->ignored.n > 0)
	{
		const char *scope = session_texts_first(session, session->ignored);

		for (int i = 0; i < session->ignored.n; i++)
		{
			const char *why = session_texts_next(scope);

			put(result, scope, "ignored", why);
			scope = session_texts_next(why);
		}
	}
	PG_RETURN_NULL();
}
