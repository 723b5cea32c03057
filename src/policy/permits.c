/*
 * src/policy/permits.c
 *		smart.permits(), permits_row(), allows(), require(): the decision, asked in SQL.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_type.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "access/access.h"
#include "access/settings.h"
#include "compat.h"
#include "policy/owner.h"
#include "policy/permits.h"
#include "policy/possible.h"
#include "policy/policy.h"
#include "policy/reason.h"
#include "policy/stored.h"
#include "scope/letters.h"
#include "session/session.h"

PG_FUNCTION_INFO_V1(smart_permits);
PG_FUNCTION_INFO_V1(smart_permits_row);
PG_FUNCTION_INFO_V1(smart_allows);
PG_FUNCTION_INFO_V1(smart_require);

static void
raise_bad_permission(const char *parameter, const char *hint)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid value for parameter \"%s\"", parameter),
			errhint("%s", hint),
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "invalid_parameter"));
}

int
permits_letter_arg(FunctionCallInfo fcinfo, int arg)
{
	text *value = PG_ARGISNULL(arg) ? NULL : PG_GETARG_TEXT_PP(arg);
	int letter = 0;

	if (value != NULL && VARSIZE_ANY_EXHDR(value) == 1)
		letter = scope_permissions_parse(VARDATA_ANY(value), 1);
	if (letter == 0)
		raise_bad_permission("permission", "Valid values are c, r, u, d and s.");
	return letter;
}

/* Letters in the order cruds. */
static int
letters_arg(FunctionCallInfo fcinfo, int arg)
{
	text *value = PG_ARGISNULL(arg) ? NULL : PG_GETARG_TEXT_PP(arg);
	int letters = 0;

	if (value != NULL)
		letters = scope_permissions_parse(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	if (letters == 0)
		raise_bad_permission("permissions", "Give letters in the order cruds, each at most once.");
	return letters;
}

static void raise_not_protected(Oid relid) pg_attribute_noreturn();

static void
raise_not_protected(Oid relid)
{
	char *name = get_rel_name(relid);

	if (name == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation with OID %u does not exist", relid));
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("relation \"%s\" is not protected", name),
			errhint("Use smart.protect()."),
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "not_protected"));
}

/* A relation's policies, as the catalogs hold them: no lock on it is waited for. */
static void
protection_of(Oid relid, StoredPolicies *stored)
{
	stored_policies(relid, stored);
	if (stored->call == NULL || stored->options == NULL || !stored_is_enabled(relid))
		raise_not_protected(relid);
}

void
permits_table_arg(Oid relid, AccessTable *table, FhirText *type)
{
	StoredPolicies stored;
	Const *name;

	memset(table, 0, sizeof(*table));
	table->version = FHIR_R4;
	table->reading = access_default_reading();
	table->shared = SHARED_DEFAULT;
	type->data = NULL;
	type->len = 0;
	if (!OidIsValid(relid))
		return;
	protection_of(relid, &stored);
	policy_options(stored.options, table);
	name = stored_constant(stored.call, POLICY_TYPE, TEXTOID);
	if (name != NULL)
	{
		type->data = TextDatumGetCString(name->constvalue);
		type->len = strlen(type->data);
	}
}

bool
permits_row_from_resource(AccessRow *row, Jsonb *resource, const AccessTable *table, FhirText type)
{
	FhirText absent = {NULL, 0};

	if (!fhir_resource_init(
			&row->resource, &resource->root, table->version, absent, absent, table->base_url))
		return false;
	return type.data == NULL || (row->resource.type_name.len == type.len &&
								 memcmp(row->resource.type_name.data, type.data, type.len) == 0);
}

Datum
smart_permits(PG_FUNCTION_ARGS)
{
	int letter = permits_letter_arg(fcinfo, 1);
	const Session *session = session_checked();
	AccessTable table;
	FhirText type;
	AccessRow row;
	bool allowed = false;

	permits_table_arg(PG_ARGISNULL(2) ? InvalidOid : PG_GETARG_OID(2), &table, &type);
	if (session == NULL || PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	access_row_init(&row);
	row.valid = permits_row_from_resource(&row, PG_GETARG_JSONB_P(0), &table, type);
	if (row.valid)
		allowed = access_permits(session, &table, &row, letter);
	access_row_reset(&row);
	PG_RETURN_BOOL(allowed);
}

/*
 * How to evaluate a table's policy arguments on a stored row; kept for the statement. They are the owner's
 * expressions. A caller who may become the owner, a superuser above all, runs them with the owner's
 * rights and no others; anybody else with his own, as in a SELECT. Nobody's session changes meanwhile.
 */
typedef struct RowEvaluation
{
	Oid relid;
	Oid run_as; /* InvalidOid: the caller */
	AccessTable table;
	Oid patients_type;
	TupleTableSlot *slot;
	ExprContext *econtext;
	ExprState *args[POLICY_N_ARGS];
} RowEvaluation;

static AsOwner
restrict_evaluation(const RowEvaluation *eval)
{
	return OidIsValid(eval->run_as) ? become_owner(eval->run_as) : become_restricted();
}

static RowEvaluation *
row_evaluation(FunctionCallInfo fcinfo, Oid relid)
{
	RowEvaluation *eval = fcinfo->flinfo->fn_extra;
	StoredPolicies stored;
	MemoryContext old;
	Relation rel;
	AsOwner before;

	if (eval != NULL && eval->relid == relid)
		return eval;
	/* who reads the row from its table has the lock */
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		ereport(ERROR,
				errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				errmsg("could not obtain lock on relation \"%s\"", get_rel_name(relid)));
	rel = relation_open(relid, NoLock);
	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	protection_of(relid, &stored);
	eval = palloc0(sizeof(RowEvaluation));
	eval->relid = relid;
	if (rel->rd_rel->relowner != GetUserId() &&
		is_member_of_role(GetUserId(), rel->rd_rel->relowner))
		eval->run_as = rel->rd_rel->relowner;
	policy_options(stored.options, &eval->table);
	eval->patients_type = getBaseType(exprType(list_nth(stored.call->args, POLICY_PATIENTS)));
	eval->econtext = CreateStandaloneExprContext();
	eval->slot = MakeSingleTupleTableSlot(CreateTupleDescCopyConstr(RelationGetDescr(rel)),
										  &TTSOpsHeapTuple);
	before = restrict_evaluation(eval);
	for (int i = POLICY_PATIENTS; i <= POLICY_ID; i++)
		eval->args[i] =
			ExecInitExpr(expression_planner(copyObject(list_nth(stored.call->args, i))), NULL);
	leave_owner(before);
	relation_close(rel, AccessShareLock);
	MemoryContextSwitchTo(old);
	fcinfo->flinfo->fn_extra = eval;
	return eval;
}

static FhirText
evaluated_text(RowEvaluation *eval, int arg)
{
	FhirText result = {NULL, 0};
	bool isnull;
	Datum value = ExecEvalExprSwitchContext(eval->args[arg], eval->econtext, &isnull);

	if (!isnull)
	{
		text *detoasted = DatumGetTextPP(value);

		result.data = VARDATA_ANY(detoasted);
		result.len = VARSIZE_ANY_EXHDR(detoasted);
	}
	return result;
}

Datum
smart_permits_row(PG_FUNCTION_ARGS)
{
	int letter = permits_letter_arg(fcinfo, 1);
	const Session *session = session_checked();
	uint64 generation = session_generation();
	HeapTupleHeader header;
	HeapTupleData tuple;
	RowEvaluation *eval;
	AccessRow row;
	Oid relid;
	Datum resource;
	Datum patients = (Datum) 0;
	FhirText type = {NULL, 0};
	FhirText id = {NULL, 0};
	AsOwner before;
	bool isnull;
	bool no_patients = true;
	bool allowed = false;

	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	header = PG_GETARG_HEAPTUPLEHEADER(0);
	relid = typeidTypeRelid(HeapTupleHeaderGetTypeId(header));
	if (!OidIsValid(relid))
		ereport(
			ERROR,
			errcode(ERRCODE_DATATYPE_MISMATCH),
			errmsg("first argument of smart.permits_row() must be a row of a table"),
			errhint(
				"Pass the table's alias: SELECT smart.permits_row(o, 'r') FROM observation o."));
	eval = row_evaluation(fcinfo, relid);
	if (session == NULL)
		PG_RETURN_BOOL(false);

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = relid;
	tuple.t_data = header;
	ExecForceStoreHeapTuple(&tuple, eval->slot, false);
	eval->econtext->ecxt_scantuple = eval->slot;

	before = restrict_evaluation(eval);
	resource = ExecEvalExprSwitchContext(eval->args[POLICY_RESOURCE], eval->econtext, &isnull);
	if (!isnull)
	{
		type = evaluated_text(eval, POLICY_TYPE);
		id = evaluated_text(eval, POLICY_ID);
		/* keys that are computed from the resource, the decision finds there itself */
		if (eval->table.has_patients)
			patients = ExecEvalExprSwitchContext(
				eval->args[POLICY_PATIENTS], eval->econtext, &no_patients);
	}
	leave_owner(before);
	if (!isnull)
	{
		/* it cannot have changed; its memory may have moved */
		session = session_generation() == generation ? session_current() : NULL;
		access_row_init(&row);
		row.valid = session != NULL && fhir_resource_init(&row.resource,
														  &DatumGetJsonbP(resource)->root,
														  eval->table.version,
														  type,
														  id,
														  eval->table.base_url);
		if (row.valid)
		{
			policy_keys(&row, &eval->table, patients, no_patients, eval->patients_type);
			allowed = access_permits(session, &eval->table, &row, letter);
		}
		access_row_reset(&row);
	}
	ExecClearTuple(eval->slot);
	ResetExprContext(eval->econtext);
	PG_RETURN_BOOL(allowed);
}

/* Could any row of the type be allowed for each of the letters? Else *cause says why not. */
static bool
session_allows(const Session *session, const char *type, int letters, const char **cause)
{
	*cause = "nobody is logged in";
	if (session == NULL)
		return false;
	if (strcmp(type, "*") == 0)
	{
		*cause =
			"no scope on \"*\" of a level with its person holds the letters without constraint";
		for (int level = 0; level < 3; level++)
			if (session->reach[level] != REACH_NOTHING &&
				access_scope_has_wildcard(session_text(session, session->grants), level, letters))
				return true;
		return false;
	}
	for (int bit = 1; bit <= SCOPE_S; bit <<= 1)
	{
		AccessReason reason;
		ScopeLevel level;
		char letter[6];

		if (!(letters & bit) || policy_is_possible(session, type, bit, &reason, &level))
			continue;
		*cause = policy_reason_text(session, reason, level, true);
		if (letters != bit)
			*cause = psprintf("of \"%s\", %s", scope_permissions_text(bit, letter), *cause);
		return false;
	}
	return true;
}

Datum
smart_allows(PG_FUNCTION_ARGS)
{
	int letters = letters_arg(fcinfo, 1);
	const Session *session = session_checked();
	const char *cause;

	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(session_allows(session, text_to_cstring(PG_GETARG_TEXT_PP(0)), letters, &cause));
}

/* The name as a message may show it: a type's, or that it is none. */
static const char *
shown_type(const char *type)
{
	for (int version = 0; version < FHIR_VERSIONS; version++)
		if (fhir_type_lookup(version, type, strlen(type)) >= 0)
			return type;
	return strcmp(type, "*") == 0 ? "all types" : "an unknown type";
}

Datum
smart_require(PG_FUNCTION_ARGS)
{
	int letters = letters_arg(fcinfo, 1);
	const Session *session = session_checked();
	const char *type = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *cause;
	char buf[8];

	if (!session_allows(session, type, letters, &cause))
		policy_raise_insufficient(scope_permissions_text(letters, buf), shown_type(type), cause);
	PG_RETURN_VOID();
}
