/*
 * src/audit/utility.c
 *		Utility statements: what COPY and TRUNCATE do, and the statement that others run queries for.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "audit/events.h"
#include "audit/failure.h"
#include "audit/protected.h"
#include "audit/row_patients.h"
#include "audit/settings.h"
#include "audit/transaction.h"
#include "audit/unit.h"

static ProcessUtility_hook_type next_process_utility_hook = NULL;

static void
run_next(PlannedStmt *plan, const char *query_string, bool read_only_tree,
		 ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *env,
		 DestReceiver *dest, QueryCompletion *completion)
{
	if (next_process_utility_hook)
		next_process_utility_hook(
			plan, query_string, read_only_tree, context, params, env, dest, completion);
	else
		standard_ProcessUtility(
			plan, query_string, read_only_tree, context, params, env, dest, completion);
}

/* Tables that a statement names, which no executor sees. */
typedef struct NamedTables
{
	int n;
	ProtectedTable **tables;
	AuditAction action;
} NamedTables;

/* Looked up by name as the statement will, without a lock; it may not be there. */
static void
add_named(NamedTables *named, const RangeVar *relation)
{
	Oid relid = RangeVarGetRelid(relation, NoLock, true);
	ProtectedTable *table = OidIsValid(relid) ? protected_find(relid) : NULL;

	if (table == NULL)
		return;
	named->tables = named->tables == NULL
						? palloc(sizeof(ProtectedTable *))
						: repalloc(named->tables, sizeof(ProtectedTable *) * (named->n + 1));
	named->tables[named->n++] = table;
}

/* Of COPY and TRUNCATE; others run queries, or change no row. */
static void
find_named(const Node *statement, NamedTables *named)
{
	ListCell *cell;

	memset(named, 0, sizeof(*named));
	if (IsA(statement, CopyStmt) && ((const CopyStmt *) statement)->relation != NULL)
	{
		named->action = ((const CopyStmt *) statement)->is_from ? AUDIT_CREATE : AUDIT_READ;
		add_named(named, ((const CopyStmt *) statement)->relation);
	}
	else if (IsA(statement, TruncateStmt))
	{
		named->action = AUDIT_DELETE;
		foreach(cell, ((const TruncateStmt *) statement)->relations)
			add_named(named, lfirst(cell));
	}
}

/* The patients of the rows that COPY TO has written, read once more until there are enough. */
static void
find_patients(AuditUnit *unit, Oid relid)
{
	MemoryContext scratch = AllocSetContextCreate(
		CurrentMemoryContext, "smart_fhir audited copy", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	Relation rel = table_open(relid, AccessShareLock);
	RowPatients *rows = rel->rd_rel->relkind == RELKIND_RELATION && ActiveSnapshotSet()
							? row_patients_begin(rel)
							: NULL;

	if (rows == NULL)
		unit_more_patients(unit);
	else
	{
		TableScanDesc scan = compat_table_beginscan(rel, GetActiveSnapshot());
		TupleTableSlot *slot = table_slot_create(rel, NULL);

		while (unit_wants_patients(unit) &&
			   table_scan_getnextslot(scan, ForwardScanDirection, slot))
		{
			CHECK_FOR_INTERRUPTS();
			row_patients_add(rows, slot, unit);
		}
		ExecDropSingleTupleTableSlot(slot);
		table_endscan(scan);
	}
	table_close(rel, NoLock);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
}

/* What was done; failed: what was to be. COPY TO of a role that policies bind is a query, and told of there. */
static void
use_named(AuditUnit *unit, const NamedTables *named, double rows, bool failed)
{
	for (int i = 0; i < named->n; i++)
	{
		bool is_query = named->action == AUDIT_READ &&
						check_enable_rls(named->tables[i]->relid, InvalidOid, true) == RLS_ENABLED;

		if (named->action == AUDIT_READ && audit_level < AUDIT_ALL && !failed)
			continue;
		if (is_query ? !failed || unit_has(unit, named->tables[i]) : false)
			continue;
		unit_check_session(unit);
		unit_use(unit, named->tables[i], named->action, rows);
		if (!audit_looks_for_patients() || failed)
			continue;
		if (named->action == AUDIT_READ)
			find_patients(unit, named->tables[i]->relid);
		else
			unit_more_patients(unit);
	}
}

/* Run it as a statement of the client, or as part of one. */
static void
run_told(AuditUnit *unit, PlannedStmt *plan, const char *query_string, bool read_only_tree,
		 ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *env,
		 DestReceiver *dest, QueryCompletion *completion)
{
	AuditUnit *outer = unit_running();
	NamedTables named;

	find_named(plan->utilityStmt, &named);
	unit_enter(unit);
	PG_TRY();
	{
		run_next(plan, query_string, read_only_tree, context, params, env, dest, completion);
		if (named.n > 0)
			use_named(unit,
					  &named,
					  IsA(plan->utilityStmt, CopyStmt) && completion != NULL
						  ? (double) completion->nprocessed
						  : AUDIT_ROWS_UNKNOWN,
					  false);
	}
	PG_CATCH();
	{
		AuditFailure failure;

		unit_enter(outer);
		failure_of_error(&failure);
		if (outer != NULL && failure.sqlstate == ERRCODE_INSUFFICIENT_PRIVILEGE)
			for (int i = 0; i < named.n; i++)
				unit_denied_inside(unit, named.tables[i], named.action, &failure);
		if (outer == NULL)
		{
			use_named(unit, &named, AUDIT_ROWS_UNKNOWN, true);
			unit_fail(unit, &failure);
		}
		for (int i = 0; i < named.n; i++)
			protected_release(named.tables[i]);
		PG_RE_THROW();
	}
	PG_END_TRY();
	unit_enter(outer);
	for (int i = 0; i < named.n; i++)
		protected_release(named.tables[i]);
}

static void
run_statement(PlannedStmt *plan, const char *query_string, bool read_only_tree,
			  ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *env,
			  DestReceiver *dest, QueryCompletion *completion)
{
	AuditUnit *volatile unit = unit_running();

	if (unit != NULL)
	{
		run_told(unit, plan, query_string, read_only_tree, context, params, env, dest, completion);
		return;
	}
	unit = unit_begin(CMD_UTILITY, plan->queryId);
	PG_TRY();
	{
		run_told(unit, plan, query_string, read_only_tree, context, params, env, dest, completion);
	}
	PG_CATCH();
	{
		unit_release(unit);
		PG_RE_THROW();
	}
	PG_END_TRY();
	unit_release(unit);
}

static void
run_transaction(PlannedStmt *plan, const char *query_string, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *env,
				DestReceiver *dest, QueryCompletion *completion)
{
	const TransactionStmt *statement = castNode(TransactionStmt, plan->utilityStmt);
	char gid[256];
	uint64 xid = 0;
	bool is_rollback = statement->kind == TRANS_STMT_ROLLBACK_PREPARED;

	/* of its own memory nothing may be left when it has run */
	if (is_rollback)
	{
		strlcpy(gid, statement->gid, sizeof(gid));
		xid = transaction_prepared(gid);
	}
	run_next(plan, query_string, read_only_tree, context, params, env, dest, completion);
	if (is_rollback)
		transaction_rolled_back_prepared(gid, xid);
}

static void
audit_process_utility(PlannedStmt *plan, const char *query_string, bool read_only_tree,
					  ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *env,
					  DestReceiver *dest, QueryCompletion *completion)
{
	bool outer;

	if (audit_level == AUDIT_OFF)
	{
		run_next(plan, query_string, read_only_tree, context, params, env, dest, completion);
		return;
	}
	if (IsA(plan->utilityStmt, TransactionStmt))
	{
		run_transaction(plan, query_string, read_only_tree, context, params, env, dest, completion);
		return;
	}
	outer = audit_settings_enter_set(IsA(plan->utilityStmt, VariableSetStmt));
	PG_TRY();
	{
		if (audit_level >= AUDIT_WRITES)
			run_statement(
				plan, query_string, read_only_tree, context, params, env, dest, completion);
		else
			run_next(plan, query_string, read_only_tree, context, params, env, dest, completion);
	}
	PG_FINALLY();
	{
		(void) audit_settings_enter_set(outer);
	}
	PG_END_TRY();
}

void
utility_init(void)
{
	next_process_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = audit_process_utility;
}
