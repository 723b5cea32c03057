/*
 * src/policy/owner.c
 *		The rights of a table's owner. See owner.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "policy/deparse.h"
#include "policy/owner.h"

PG_FUNCTION_INFO_V1(smart_spells_references);

/* Whose expressions run; valid while he is the current user. */
static Oid acting = InvalidOid;

AsOwner
become_owner(Oid owner)
{
	AsOwner before = {.acting = acting};

	GetUserIdAndSecContext(&before.user, &before.context);
	SetUserIdAndSecContext(
		owner, before.context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	before.settings = fix_settings();
	/* what a function of the owner's says of a row is not for whoever has the statement */
	(void) set_config_option("client_min_messages",
							 "error",
							 PGC_USERSET,
							 PGC_S_SESSION,
							 GUC_ACTION_SAVE,
							 true,
							 0,
							 false);
	acting = owner;
	return before;
}

AsOwner
become_restricted(void)
{
	AsOwner before = {.acting = acting};

	GetUserIdAndSecContext(&before.user, &before.context);
	SetUserIdAndSecContext(
		before.user, before.context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	before.settings = NewGUCNestLevel();
	return before;
}

void
leave_owner(AsOwner before)
{
	acting = before.acting;
	AtEOXact_GUC(false, before.settings);
	SetUserIdAndSecContext(before.user, before.context);
}

bool
owner_owns(Oid owner, Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool result = HeapTupleIsValid(tuple) && ((Form_pg_class) GETSTRUCT(tuple))->relowner == owner;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return result;
}

static ExecutorCheckPerms_hook_type next_check_perms = NULL;

/*
 * pg_temp is searched first unless a search_path names it: a function of the owner's that sets one
 * without it would read what the session has put in front of his tables, a view perhaps, as him.
 */
static bool
check_perms(COMPAT_CHECK_PERMS_PARAMS)
{
	ListCell *cell;

	foreach(cell, OidIsValid(acting) ? range_table : NIL)
	{
		Oid relid = lfirst_node(RangeTblEntry, cell)->relid;

		if (OidIsValid(relid) && GetUserId() == acting && InSecurityRestrictedOperation() &&
			isAnyTempNamespace(get_rel_namespace(relid)) && !owner_owns(acting, relid))
			ereport(
				ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("permission denied for temporary relation \"%s\"", get_rel_name(relid)),
				errdetail("A function that runs with the rights of its table's owner names it."),
				errhint("Qualify names in such functions, or put pg_temp at the end of the "
						"search_path that they set."));
	}
	return next_check_perms == NULL || next_check_perms(COMPAT_CHECK_PERMS_ARGS);
}

void
owner_init(void)
{
	next_check_perms = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = check_perms;
}

Oid
owner_checked(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation with OID %u does not exist", relid));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	if (!has_privs_of_role(GetUserId(), owner))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
	return owner;
}

/* An expression over a table, as its owner wrote it; NULL when it needs a query. */
static Node *
expression_over(Relation rel, const char *source)
{
	List *raw = raw_parser(source, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = (SelectStmt *) linitial_node(RawStmt, raw)->stmt;
	ParseState *pstate = make_parsestate(NULL);
	Node *expr;

	if (list_length(select->targetList) != 1)
		return NULL;
	addNSItemToQuery(pstate,
					 addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL, false, true),
					 true,
					 true,
					 true);
	expr =
		transformExpr(pstate, linitial_node(ResTarget, select->targetList)->val, EXPR_KIND_POLICY);
	expr = coerce_to_common_type(pstate, expr, TEXTOID, "KEYS");
	assign_expr_collations(pstate, expr);
	free_parsestate(pstate);
	return contain_subplans(expr) || expression_returns_set(expr)
			   ? NULL
			   : (Node *) expression_planner((Expr *) expr);
}

/* Is the first stored key spelled Patient/<id>? False when there is none. */
static bool
look_at_key(Relation rel, const char *keys, bool *is_reference)
{
	Node *expr = expression_over(rel, keys);
	ExprContext *econtext;
	ExprState *state;
	Snapshot snapshot;
	TableScanDesc scan;
	TupleTableSlot *slot;
	bool isnull = true;

	if (expr == NULL)
		return false;
	state = ExecInitExpr((Expr *) expr, NULL);
	econtext = CreateStandaloneExprContext();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	slot = table_slot_create(rel, NULL);
	scan = compat_table_beginscan(rel, snapshot);
	while (isnull && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		Datum key;

		CHECK_FOR_INTERRUPTS();
		ResetExprContext(econtext);
		econtext->ecxt_scantuple = slot;
		key = ExecEvalExprSwitchContext(state, econtext, &isnull);
		if (!isnull)
			*is_reference = strncmp(TextDatumGetCString(key), "Patient/", 8) == 0;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	FreeExprContext(econtext, true);
	return !isnull;
}

/*
 * smart_internal.spells_references(relation regclass, keys text) -> boolean: of one stored key;
 * NULL when there is none. For the owner: what he wrote is evaluated with his rights. No query:
 * one that sees past FORCE ROW LEVEL SECURITY would leave such plans behind.
 */
Datum
smart_spells_references(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	char *keys = text_to_cstring(PG_GETARG_TEXT_PP(1));
	AsOwner before = become_owner(owner_checked(relid));
	bool found = false;
	bool is_reference = false;
	ListCell *cell;

	foreach(cell, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		Relation rel = relation_open(lfirst_oid(cell), NoLock);

		if (!found && rel->rd_rel->relkind == RELKIND_RELATION)
			found = look_at_key(rel, keys, &is_reference);
		relation_close(rel, NoLock);
	}
	leave_owner(before);
	if (!found)
		PG_RETURN_NULL();
	PG_RETURN_BOOL(is_reference);
}
