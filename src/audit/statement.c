/*
 * src/audit/statement.c
 *		Executor hooks: each query that touches protected tables adds to its statement's record.
 *
 * A query that was started is known until its executor state goes, whoever takes that away: its end, the
 * end of its portal, an error. What runs inside another statement belongs to that one; a cursor to the one
 * that opened it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "utils/memutils.h"

#include "compat.h"
#include "audit/counted.h"
#include "audit/events.h"
#include "audit/failure.h"
#include "audit/log.h"
#include "audit/settings.h"
#include "audit/transaction.h"
#include "audit/unit.h"

/* A query that was started; in a memory context of its own. */
typedef struct AuditedQuery
{
	dlist_node node;
	MemoryContext memory;
	QueryDesc *query;
	AuditUnit *unit;		/* held */
	CountedTables *counted; /* NULL: it is here for what runs inside it */
	bool reads;				/* are recorded */
	bool running;
	bool gathered;
	MemoryContextCallback callback;
} AuditedQuery;

static ExecutorStart_hook_type next_executor_start_hook = NULL;
static ExecutorRun_hook_type next_executor_run_hook = NULL;
static ExecutorFinish_hook_type next_executor_finish_hook = NULL;
static ExecutorEnd_hook_type next_executor_end_hook = NULL;

static dlist_head queries = DLIST_STATIC_INIT(queries);

static AuditedQuery *
find_query(const QueryDesc *query)
{
	dlist_iter iter;

	dlist_foreach(iter, &queries)
	{
		AuditedQuery *audited = dlist_container(AuditedQuery, node, iter.cur);

		if (audited->query == query)
			return audited;
	}
	return NULL;
}

static void
gather(AuditedQuery *audited)
{
	if (audited->gathered)
		return;
	audited->gathered = true;
	if (audited->counted != NULL)
		counted_gather(audited->counted, audited->unit, audited->reads);
}

static void
forget_query(AuditedQuery *audited)
{
	AuditUnit *unit = audited->unit;

	dlist_delete(&audited->node);
	if (audited->counted != NULL)
		counted_end(audited->counted);
	MemoryContextDelete(audited->memory);
	unit_release(unit);
}

/* Its executor state goes without its end: rows of it may have been seen. */
static void
lose_query(void *arg)
{
	AuditedQuery *audited = arg;

	gather(audited);
	/* the process ends in the middle of it */
	if (audited->running && audited->counted != NULL && audit_log_fatal() != 0)
	{
		AuditFailure failure = {.sqlstate = audit_log_fatal()};

		unit_fail(audited->unit, &failure);
	}
	forget_query(audited);
}

/*
 * In PG_CATCH(): it failed. Outermost, that is its statement's end (for a cursor, whichever statement
 * fetched from it); inside a statement somebody may catch the error.
 */
static void
fail_query(AuditedQuery *audited, bool outermost)
{
	AuditFailure failure;

	failure_of_error(&failure);
	if (outermost)
	{
		if (!audited->gathered && audited->counted != NULL)
			counted_gather(audited->counted, audited->unit, true);
		audited->gathered = true;
		unit_fail(audited->unit, &failure);
	}
	else if (!audited->gathered && audited->counted != NULL &&
			 failure.sqlstate == ERRCODE_INSUFFICIENT_PRIVILEGE)
	{
		audited->gathered = true;
		counted_gather_denied(audited->counted, audited->unit, &failure);
	}
	else
		gather(audited);
}

/* ---- the hooks ---- */

static void
start_next(QueryDesc *query, int eflags)
{
	if (next_executor_start_hook)
		next_executor_start_hook(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
}

/* NULL: nothing of it is recorded. */
static AuditedQuery *
begin_query(QueryDesc *query)
{
	AuditUnit *unit = unit_running();
	MemoryContext memory =
		AllocSetContextCreate(TopMemoryContext, "smart_fhir audited query", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(memory);
	CountedTables *counted = counted_begin(query->plannedstmt);
	AuditedQuery *audited;

	if (counted == NULL && unit != NULL)
	{
		MemoryContextSwitchTo(old);
		MemoryContextDelete(memory);
		return NULL;
	}
	audited = palloc0(sizeof(AuditedQuery));
	audited->memory = memory;
	audited->query = query;
	audited->counted = counted;
	audited->reads = audit_level >= AUDIT_ALL;
	if (unit == NULL)
		audited->unit = unit_begin(query->operation, query->plannedstmt->queryId);
	else
	{
		unit_hold(unit);
		audited->unit = unit;
	}
	dlist_push_head(&queries, &audited->node);
	MemoryContextSwitchTo(old);
	/* workers count theirs only when all nodes do */
	if (counted != NULL && audited->reads && query->plannedstmt->parallelModeNeeded)
		query->instrument_options |= INSTRUMENT_ROWS;
	return audited;
}

static void
attach_query(AuditedQuery *audited)
{
	MemoryContext old = MemoryContextSwitchTo(audited->memory);

	audited->callback.func = lose_query;
	audited->callback.arg = audited;
	MemoryContextRegisterResetCallback(audited->query->estate->es_query_cxt, &audited->callback);
	if (audited->counted != NULL)
	{
		/* under whom it runs; what it runs with is allocated where the executor's state is */
		unit_check_session(audited->unit);
		MemoryContextSwitchTo(audited->query->estate->es_query_cxt);
		counted_attach(audited->counted,
					   audited->query,
					   audited->reads,
					   audited->unit,
					   audit_looks_for_patients() && unit_wants_patients(audited->unit));
	}
	MemoryContextSwitchTo(old);
}

static void
audit_executor_start(QueryDesc *query, int eflags)
{
	AuditedQuery *volatile audited;
	AuditUnit *outer;

	if (audit_level < AUDIT_WRITES || (eflags & EXEC_FLAG_EXPLAIN_ONLY) ||
		(audited = begin_query(query)) == NULL)
	{
		start_next(query, eflags);
		return;
	}
	outer = unit_enter(audited->unit);
	PG_TRY();
	{
		start_next(query, eflags);
		attach_query(audited);
	}
	PG_CATCH();
	{
		unit_enter(outer);
		fail_query(audited, outer == NULL);
		if (audited->callback.func == NULL)
			forget_query(audited);
		PG_RE_THROW();
	}
	PG_END_TRY();
	unit_enter(outer);
}

static void
run_next(QueryDesc *query, ScanDirection direction, uint64 count COMPAT_EXECUTE_ONCE_PARAM)
{
	if (next_executor_run_hook)
		next_executor_run_hook(query, direction, count COMPAT_EXECUTE_ONCE_ARG);
	else
		standard_ExecutorRun(query, direction, count COMPAT_EXECUTE_ONCE_ARG);
}

static void
audit_executor_run(QueryDesc *query, ScanDirection direction,
				   uint64 count COMPAT_EXECUTE_ONCE_PARAM)
{
	AuditedQuery *volatile audited = dlist_is_empty(&queries) ? NULL : find_query(query);
	AuditUnit *outer;

	if (audited == NULL)
	{
		run_next(query, direction, count COMPAT_EXECUTE_ONCE_ARG);
		return;
	}
	outer = unit_enter(audited->unit);
	audited->running = true;
	PG_TRY();
	{
		run_next(query, direction, count COMPAT_EXECUTE_ONCE_ARG);
	}
	PG_CATCH();
	{
		unit_enter(outer);
		audited->running = false;
		fail_query(audited, outer != audited->unit);
		PG_RE_THROW();
	}
	PG_END_TRY();
	audited->running = false;
	unit_enter(outer);
}

static void
finish_next(QueryDesc *query)
{
	if (next_executor_finish_hook)
		next_executor_finish_hook(query);
	else
		standard_ExecutorFinish(query);
}

/* Triggers run here. */
static void
audit_executor_finish(QueryDesc *query)
{
	AuditedQuery *volatile audited = dlist_is_empty(&queries) ? NULL : find_query(query);
	AuditUnit *outer;

	if (audited == NULL)
	{
		finish_next(query);
		return;
	}
	outer = unit_enter(audited->unit);
	audited->running = true;
	PG_TRY();
	{
		finish_next(query);
	}
	PG_CATCH();
	{
		unit_enter(outer);
		audited->running = false;
		fail_query(audited, outer != audited->unit);
		PG_RE_THROW();
	}
	PG_END_TRY();
	audited->running = false;
	unit_enter(outer);
}

static void
end_next(QueryDesc *query)
{
	if (next_executor_end_hook)
		next_executor_end_hook(query);
	else
		standard_ExecutorEnd(query);
}

static void
audit_executor_end(QueryDesc *query)
{
	AuditedQuery *volatile audited = dlist_is_empty(&queries) ? NULL : find_query(query);
	AuditUnit *unit;

	if (audited == NULL)
	{
		end_next(query);
		return;
	}
	gather(audited);
	unit = audited->unit;
	/* beyond the query, which end_next() takes away */
	unit_hold(unit);
	end_next(query);
	unit_release(unit);
}

/* ---- the end of transactions ---- */

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			units_end_transaction();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			transaction_forget();
			break;
		case XACT_EVENT_ABORT:
			units_end_transaction();
			transaction_abort();
			break;
		default:
			break;
	}
}

static void
at_sub_end(SubXactEvent event, SubTransactionId sub, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		units_commit_sub(sub, parent);
		transaction_commit_sub(sub, parent);
	}
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		units_abort_sub(sub, parent);
		transaction_abort_sub(sub);
	}
}

void
statement_audit_init(void)
{
	next_executor_start_hook = ExecutorStart_hook;
	ExecutorStart_hook = audit_executor_start;
	next_executor_run_hook = ExecutorRun_hook;
	ExecutorRun_hook = audit_executor_run;
	next_executor_finish_hook = ExecutorFinish_hook;
	ExecutorFinish_hook = audit_executor_finish;
	next_executor_end_hook = ExecutorEnd_hook;
	ExecutorEnd_hook = audit_executor_end;
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_sub_end, NULL);
}
