/*
 * src/policy/explain.c
 *		smart.explain(): for a person, why a resource is or is not allowed.
 *
 * It asks the same functions as the decision, grant by grant, and adds what PostgreSQL itself
 * does: roles that row-level security does not bind, relations that are not protected.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_policy.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "access/access.h"
#include "access/reach.h"
#include "compat.h"
#include "policy/permits.h"
#include "policy/policy.h"
#include "policy/reason.h"
#include "policy/stored.h"
#include "session/session.h"

PG_FUNCTION_INFO_V1(smart_explain);

static void
put(ReturnSetInfo *result, const char *scope, const char *verdict, const char *reason)
{
	Datum values[3];
	bool nulls[3] = {scope == NULL, false, false};

	values[0] = scope == NULL ? (Datum) 0 : CStringGetTextDatum(scope);
	values[1] = CStringGetTextDatum(verdict);
	values[2] = CStringGetTextDatum(reason);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* The search parameter of a scope that the resource does not match, by its name. */
static const char *
failed_parameter(const AccessGrant *grant, const FhirResource *resource)
{
	const char *at = strchr(grant->text, '?');
	int failed = 0;

	while (failed < grant->n_constraints &&
		   fhir_constraint_matches(grant->constraints[failed], resource))
		failed++;
	/* pairs stand in the scope in the order of its constraints */
	for (int i = 0; i < failed && at != NULL; i++)
		at = strchr(at + 1, '&');
	if (at == NULL)
		return "a search parameter of the scope does not match";
	return psprintf("the search parameter \"%.*s\" of the scope does not match",
					(int) strcspn(at + 1, "=&"),
					at + 1);
}

static const char *
grant_text(const Session *session, AccessReason reason, const AccessGrant *grant,
		   const AccessTable *table, const AccessRow *row)
{
	if (reason == ACCESS_CONSTRAINT)
		return failed_parameter(grant, &row->resource);
	if (reason == ACCESS_OTHER_PATIENT && table->has_patients &&
		access_reached_patients(session, grant->level).n > 0)
		return "the table keeps the patient in a column, which a resource does "
			   "not show: ask smart.permits_row()";
	return policy_reason_text(session, reason, grant->level, false);
}

/* The command that a letter stands for. */
static const struct
{
	int letter;
	AclMode privilege;
	char command; /* as in pg_policy */
	const char *name;
} commands[] = {
	{SCOPE_R, ACL_SELECT, ACL_SELECT_CHR, "SELECT"},
	{SCOPE_S, ACL_SELECT, ACL_SELECT_CHR, "SELECT"},
	{SCOPE_C, ACL_INSERT, ACL_INSERT_CHR, "INSERT"},
	{SCOPE_U, ACL_UPDATE, ACL_UPDATE_CHR, "UPDATE"},
	{SCOPE_D, ACL_DELETE, ACL_DELETE_CHR, "DELETE"},
};

/* Policies beside ours; false when the command has none that lets a row pass. */
static bool
explain_policies(ReturnSetInfo *result, Oid relid, int command)
{
	Relation catalog = table_open(PolicyRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	bool permissive = false;

	ScanKeyInit(
		&key, Anum_pg_policy_polrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, PolicyPolrelidPolnameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_policy policy = (Form_pg_policy) GETSTRUCT(tuple);
		const char *name = NameStr(policy->polname);
		bool own = strncmp(name, "smart_", 6) == 0;

		if (policy->polcmd != '*' && policy->polcmd != commands[command].command)
			continue;
		permissive = permissive || policy->polpermissive;
		if (!own && policy->polpermissive)
			put(result,
				NULL,
				"allows",
				psprintf("the permissive policy \"%s\" of the table may let more rows pass", name));
		else if (!own)
			put(result,
				NULL,
				"denies",
				psprintf("the restrictive policy \"%s\" of the table must let the row pass, too",
						 name));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return permissive;
}

/* What PostgreSQL does before any policy is asked. False: the table is not under our policies. */
static bool
explain_postgres(ReturnSetInfo *result, Oid relid, int letter)
{
	int command = 0;
	bool is_enabled;
	bool is_protected;

	if (superuser())
		put(result,
			NULL,
			"allows",
			"the current role is a superuser: row-level security does not bind it");
	else if (has_bypassrls_privilege(GetUserId()))
		put(result,
			NULL,
			"allows",
			"the current role has BYPASSRLS: row-level security does not bind it");
	if (!OidIsValid(relid))
		return true;
	/* by the catalogs: no lock on the relation is waited for */
	while (commands[command].letter != letter)
		command++;
	is_enabled = stored_is_enabled(relid);
	is_protected = is_enabled && policy_call_stored(relid) != NULL;
	/* permits_table_arg() raises the error */
	if (get_rel_name(relid) == NULL)
		return true;
	if (pg_class_aclcheck(relid, GetUserId(), commands[command].privilege) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(relid, GetUserId(), commands[command].privilege, ACLMASK_ANY) !=
			ACLCHECK_OK)
		put(result,
			NULL,
			"denies",
			psprintf("the current role has no %s privilege on the table", commands[command].name));
	if (!is_enabled)
		put(result,
			NULL,
			"allows",
			"row-level security is not enabled on the table: no policy is asked");
	else
	{
		if (!superuser() && !has_bypassrls_privilege(GetUserId()) &&
			check_enable_rls(relid, InvalidOid, true) == RLS_NONE_ENV)
			put(result,
				NULL,
				"allows",
				"the current role owns the table, and row-level security is not forced on owners");
		if (!explain_policies(result, relid, command))
			put(result,
				NULL,
				"denies",
				psprintf("the table has no policy for %s", commands[command].name));
		else if (!is_protected)
			put(result,
				NULL,
				"denies",
				"the policies of the table are not those of smart.protect()");
	}
	return is_protected;
}

Datum
smart_explain(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	AccessTable table;
	FhirText type;
	AccessRow row;
	int letter = permits_letter_arg(fcinfo, 1);
	Oid relid = PG_ARGISNULL(2) ? InvalidOid : PG_GETARG_OID(2);
	const Session *session = session_current();
	const AccessGrants *grants;
	AccessReason reason;
	const char *claim = NULL;
	JoseStatus status;

	InitMaterializedSRF(fcinfo, 0);
	if (!explain_postgres(result, relid, letter))
		PG_RETURN_NULL();
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
	permits_table_arg(relid, &table, &type);
	access_row_init(&row);
	row.valid =
		!PG_ARGISNULL(0) && permits_row_from_resource(&row, PG_GETARG_JSONB_P(0), &table, type);
	reason = access_row_reason(session, &table, &row);
	if (reason != ACCESS_ALLOWED)
		put(result,
			NULL,
			"denies",
			policy_reason_text(session, reason, SCOPE_LEVEL_PATIENT, false));
	else
	{
		grants =
			access_grants(session_text(session, session->grants), table.version, row.resource.type);
		for (int i = 0; i < grants->n; i++)
		{
			reason = access_grant_reason(session, &table, &row, &grants->grants[i], letter);
			put(result,
				grants->grants[i].text,
				reason == ACCESS_ALLOWED ? "allows" : "denies",
				grant_text(session, reason, &grants->grants[i], &table, &row));
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
	for (int i = 0; i < session->ignored_claims.n; i++)
	{
		claim = i == 0 ? session_texts_first(session, session->ignored_claims)
					   : session_texts_next(claim);
		put(result, NULL, "ignored", psprintf("claim %s", claim));
	}
	PG_RETURN_NULL();
}
