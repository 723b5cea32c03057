/*
 * src/policy/guard.c
 *		Planner, executor and utility hooks.
 *
 * A plan that holds a policy of ours is marked with PlanInvalItems of private cache ids (the
 * plan cache compares ids and skips them): one that says so, one for each call with its form,
 * one for each index of irregular rows that must be empty. When such a plan starts, the session
 * must be usable: an expired or revoked one raises 28000 even if no row would have been looked
 * at; a call that became TRUE must have that form still; and the indexes must be empty. Else
 * the statement fails and the plan is dropped, so that the next try gets a new one. At each
 * further FETCH of a cursor the session must be the one that it was opened under, and each
 * call of the form it had. Here, too, tokens are taken out of pg_stat_activity before a
 * statement runs.
 *
 * A plan made before the library was loaded has no mark; loading the library drops all cached
 * plans, and the policy function itself checks at its first row.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "lib/ilist.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "policy/call.h"
#include "policy/guard.h"
#include "policy/marks.h"
#include "policy/plans.h"
#include "policy/regular.h"
#include "policy/statement.h"
#include "session/log_mask.h"
#include "session/session.h"

/* One started statement on a protected table; lives and dies with its executor state. */
typedef struct GuardedQuery
{
	dlist_node node;
	RunningStatement statement;
	int32 interaction; /* of that session when the forms were last compared */
	bool stands_alone; /* some form has no row_check() that would see another session */
	MemoryContextCallback callback;
} GuardedQuery;

static planner_hook_type next_planner_hook = NULL;
static ExecutorStart_hook_type next_executor_start_hook = NULL;
static ExecutorRun_hook_type next_executor_run_hook = NULL;
static ExecutorFinish_hook_type next_executor_finish_hook = NULL;
static ProcessUtility_hook_type next_process_utility_hook = NULL;

static dlist_head guarded_queries = DLIST_STATIC_INIT(guarded_queries);

/*
 * PostgreSQL also asks the SELECT policy about new rows (RETURNING, ON CONFLICT, UPDATE with a
 * WHERE). These may be irregular whatever the table's index says, so their policies are not folded.
 */
static bool
ask_new_rows_by_row(Query *query)
{
	bool found = false;
	ListCell *cell;

	foreach(cell, query->withCheckOptions)
		found |= policy_ask_by_row(lfirst_node(WithCheckOption, cell)->qual);
	/* data-modifying WITH stands at the top only */
	foreach(cell, query->cteList)
	{
		Query *with = castNode(Query, lfirst_node(CommonTableExpr, cell)->ctequery);

		if (with->commandType != CMD_SELECT)
			found |= ask_new_rows_by_row(with);
	}
	return found;
}

static PlannedStmt *
plan_next(Query *parse, const char *query_string, int cursor_options,
		  ParamListInfo params COMPAT_EXPLAIN_PARAM)
{
	if (next_planner_hook)
		return next_planner_hook(parse, query_string, cursor_options, params COMPAT_EXPLAIN_ARG);
	return standard_planner(parse, query_string, cursor_options, params COMPAT_EXPLAIN_ARG);
}

static PlannedStmt *
guard_planner(Query *parse, const char *query_string, int cursor_options,
			  ParamListInfo params COMPAT_EXPLAIN_PARAM)
{
	PlannedStatement this = {NULL, NULL, parse, CurrentMemoryContext, false, NIL};
	PlannedStmt *volatile plan;

	/* once for each statement that a client sends */
	if (query_string != NULL && query_string == debug_query_string)
		log_mask_activity();
	this.has_policy = ask_new_rows_by_row(parse);
	statement_enter_planning(&this);
	PG_TRY();
	{
		plan = plan_next(parse, query_string, cursor_options, params COMPAT_EXPLAIN_ARG);
		if (this.has_policy)
			statement_mark(MARK_POLICY, 0);
	}
	PG_FINALLY();
	{
		statement_leave_planning();
	}
	PG_END_TRY();
	if (this.has_policy)
		plan->invalItems = list_concat(plan->invalItems, this.marks);
	return plan;
}

static bool
plan_is_guarded(const PlannedStmt *plan)
{
	ListCell *cell;

	foreach(cell, plan->invalItems)
		if (lfirst_node(PlanInvalItem, cell)->cacheId == MARK_POLICY)
			return true;
	return false;
}

/* The plan cannot be run any more: the next try gets a new one. */
static void
drop_plan(const PlannedStmt *plan)
{
	ListCell *cell;

	foreach(cell, plan->invalItems)
	{
		const PlanInvalItem *mark = lfirst(cell);

		for (int form = 0; form < POLICY_N_FORMS; form++)
			if (mark->cacheId == MARK_FORM(form))
				policy_plans_drop(mark->hashValue, form);
	}
}

/* Does what the plan took for granted still hold? */
static void
check_start(const QueryDesc *query)
{
	const PlannedStmt *plan = query->plannedstmt;
	ListCell *cell;
	int levels;

	foreach(cell, plan->invalItems)
	{
		const PlanInvalItem *mark = lfirst(cell);

		if (mark->cacheId == MARK_FORM(POLICY_ALL) &&
			(session_current() == NULL ||
			 policy_call_form(mark->hashValue, session_current(), &levels) != POLICY_ALL))
		{
			drop_plan(plan);
			jose_raise(JOSE_SESSION_CHANGED);
		}
		if (mark->cacheId == MARK_REGULAR &&
			!policy_regular_index_is_empty(mark->hashValue, query->snapshot))
		{
			drop_plan(plan);
			ereport(ERROR,
					errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					errmsg("plan does not fit the rows of a protected table any more"),
					errdetail("A row that is no FHIR resource of the table's type was stored."),
					errhint("Repeat the transaction."),
					err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
					err_generic_string(PG_DIAG_CONSTRAINT_NAME, "plan_changed"));
		}
	}
}

/* Has the plan a form that shows rows without asking the session for each? */
static bool
stands_alone(const PlannedStmt *plan)
{
	ListCell *cell;

	foreach(cell, plan->invalItems)
	{
		int cache_id = lfirst_node(PlanInvalItem, cell)->cacheId;

		for (int form = POLICY_ONE; form < POLICY_N_FORMS; form++)
			if (cache_id == MARK_FORM(form) &&
				(policy_form_is_whole((PolicyForm) form) || form == POLICY_ALL))
				return true;
	}
	return false;
}

/*
 * The statement has run, or a part of it. If it changed the session under itself, what it showed
 * after that was shown to another one.
 */
static void
check_end(const GuardedQuery *entry)
{
	if (entry != NULL && entry->stands_alone && entry->statement.generation != 0 &&
		entry->statement.generation != session_generation())
		jose_raise(JOSE_SESSION_CHANGED);
}

/* A cursor goes on: has each call the form that it was planned with? */
static void
check_continue(GuardedQuery *entry)
{
	const Session *session = session_checked();
	ListCell *cell;
	int levels;

	if (entry->statement.generation != session_generation())
		jose_raise(JOSE_SESSION_CHANGED);
	if (session == NULL || (session->interaction == entry->interaction))
		return;
	foreach(cell, entry->statement.query->plannedstmt->invalItems)
	{
		const PlanInvalItem *mark = lfirst(cell);

		for (int form = POLICY_ONE; form <= POLICY_ALL; form++)
			if (mark->cacheId == MARK_FORM(form) &&
				policy_call_form(mark->hashValue, session, &levels) != (PolicyForm) form)
				jose_raise(JOSE_SESSION_CHANGED);
	}
	entry->interaction = session->interaction;
}

static void
forget_query(void *arg)
{
	dlist_delete(&((GuardedQuery *) arg)->node);
}

static void
guard_executor_start(QueryDesc *query, int eflags)
{
	bool guarded = plan_is_guarded(query->plannedstmt) && !(eflags & EXEC_FLAG_EXPLAIN_ONLY);

	if (guarded)
	{
		session_check_statement();
		check_start(query);
	}
	if (query->plannedstmt->parallelModeNeeded)
		session_clear_dead_value();
	if (next_executor_start_hook)
		next_executor_start_hook(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
	if (guarded)
	{
		GuardedQuery *entry = MemoryContextAlloc(query->estate->es_query_cxt, sizeof(GuardedQuery));

		entry->statement.query = query;
		entry->statement.generation = session_generation();
		entry->interaction = session_current() == NULL ? 0 : session_current()->interaction;
		entry->stands_alone = stands_alone(query->plannedstmt);
		entry->callback.func = forget_query;
		entry->callback.arg = entry;
		dlist_push_head(&guarded_queries, &entry->node);
		MemoryContextRegisterResetCallback(query->estate->es_query_cxt, &entry->callback);
	}
}

static GuardedQuery *
guarded_query(QueryDesc *query)
{
	dlist_iter iter;

	dlist_foreach(iter, &guarded_queries)
	{
		GuardedQuery *entry = dlist_container(GuardedQuery, node, iter.cur);

		if (entry->statement.query == query)
			return entry;
	}
	return NULL;
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
guard_executor_run(QueryDesc *query, ScanDirection direction,
				   uint64 count COMPAT_EXECUTE_ONCE_PARAM)
{
	const RunningStatement *outer;
	GuardedQuery *entry;

	if (dlist_is_empty(&guarded_queries))
	{
		run_next(query, direction, count COMPAT_EXECUTE_ONCE_ARG);
		return;
	}
	entry = guarded_query(query);
	if (entry != NULL)
		check_continue(entry);
	outer = statement_enter(entry == NULL ? NULL : &entry->statement);
	PG_TRY();
	{
		run_next(query, direction, count COMPAT_EXECUTE_ONCE_ARG);
		check_end(entry);
	}
	PG_FINALLY();
	{
		statement_leave(outer);
	}
	PG_END_TRY();
}

static void
finish_next(QueryDesc *query)
{
	if (next_executor_finish_hook)
		next_executor_finish_hook(query);
	else
		standard_ExecutorFinish(query);
}

/* What is left of WITH queries that write runs here. */
static void
guard_executor_finish(QueryDesc *query)
{
	const RunningStatement *outer;
	GuardedQuery *entry;

	if (dlist_is_empty(&guarded_queries))
	{
		finish_next(query);
		return;
	}
	entry = guarded_query(query);
	outer = statement_enter(entry == NULL ? NULL : &entry->statement);
	PG_TRY();
	{
		finish_next(query);
		check_end(entry);
	}
	PG_FINALLY();
	{
		statement_leave(outer);
	}
	PG_END_TRY();
}

static void
guard_process_utility(PlannedStmt *plan, const char *query_string, bool read_only_tree,
					  ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *env,
					  DestReceiver *dest, QueryCompletion *completion)
{
	if (IsA(plan->utilityStmt, DeclareCursorStmt) &&
		(((DeclareCursorStmt *) plan->utilityStmt)->options & CURSOR_OPT_HOLD))
		session_note_held_cursor();
	if (context == PROCESS_UTILITY_TOPLEVEL)
		log_mask_activity();
	/* CREATE INDEX and its like start parallel workers without an executor */
	if (!IsA(plan->utilityStmt, TransactionStmt) && IsTransactionState())
		session_clear_dead_value();
	if (next_process_utility_hook)
		next_process_utility_hook(
			plan, query_string, read_only_tree, context, params, env, dest, completion);
	else
		standard_ProcessUtility(
			plan, query_string, read_only_tree, context, params, env, dest, completion);
}

void
guard_init(void)
{
	next_planner_hook = planner_hook;
	planner_hook = guard_planner;
	next_executor_start_hook = ExecutorStart_hook;
	ExecutorStart_hook = guard_executor_start;
	next_executor_run_hook = ExecutorRun_hook;
	ExecutorRun_hook = guard_executor_run;
	next_executor_finish_hook = ExecutorFinish_hook;
	ExecutorFinish_hook = guard_executor_finish;
	next_process_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = guard_process_utility;

	/* plans made before now are not marked */
	ResetPlanCache();
}
