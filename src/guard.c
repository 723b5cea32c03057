/*
 * src/guard.c
 *		Planner, executor and utility hooks.
 *
 * A plan that holds a policy of ours is marked with a PlanInvalItem of a private cache id
 * (the plan cache compares ids and skips it). When such a plan starts, and at each further
 * FETCH, the session must be usable: an expired or revoked one raises 28000 even if no row
 * would have been looked at. A cursor also remembers the generation of the session that it
 * was opened under, and ends with it. Here, too, tokens are taken out of pg_stat_activity
 * before a statement runs.
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
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

#include "compat.h"
#include "guard.h"
#include "log_mask.h"
#include "session.h"

/* No syscache has this id. */
#define GUARD_CACHE_ID (-0x5346)

/* One started statement on a protected table; lives and dies with its executor state. */
typedef struct GuardedQuery
{
	dlist_node	node;
	QueryDesc  *query;
	uint64		generation;
	MemoryContextCallback callback;
} GuardedQuery;

static planner_hook_type next_planner_hook = NULL;
static ExecutorStart_hook_type next_executor_start_hook = NULL;
static ExecutorRun_hook_type next_executor_run_hook = NULL;
static ExecutorFinish_hook_type next_executor_finish_hook = NULL;
static ProcessUtility_hook_type next_process_utility_hook = NULL;

static bool plan_has_policy = false;
static dlist_head guarded_queries = DLIST_STATIC_INIT(guarded_queries);
static GuardedQuery *running = NULL;	/* the innermost statement, when it is guarded */

void
guard_note_policy(void)
{
	plan_has_policy = true;
}

static PlannedStmt *
guard_planner(Query *parse, const char *query_string, int cursor_options, ParamListInfo params)
{
	bool		outer = plan_has_policy;
	PlannedStmt *plan;

	/* once for each statement that a client sends */
	if (query_string != NULL && query_string == debug_query_string)
		log_mask_activity();
	plan_has_policy = false;
	PG_TRY();
	{
		if (next_planner_hook)
			plan = next_planner_hook(parse, query_string, cursor_options, params);
		else
			plan = standard_planner(parse, query_string, cursor_options, params);
		if (plan_has_policy)
		{
			PlanInvalItem *mark = makeNode(PlanInvalItem);

			mark->cacheId = GUARD_CACHE_ID;
			mark->hashValue = 0;
			plan->invalItems = lappend(plan->invalItems, mark);
		}
	}
	PG_FINALLY();
	{
		plan_has_policy = outer;
	}
	PG_END_TRY();
	return plan;
}

static bool
plan_is_guarded(const PlannedStmt *plan)
{
	ListCell   *cell;

	/* ours is the last one, unless another hook added more */
	foreach (cell, plan->invalItems)
		if (lfirst_node(PlanInvalItem, cell)->cacheId == GUARD_CACHE_ID)
			return true;
	return false;
}

static void
forget_query(void *arg)
{
	dlist_delete(&((GuardedQuery *) arg)->node);
}

static void
guard_executor_start(QueryDesc *query, int eflags)
{
	bool		guarded = plan_is_guarded(query->plannedstmt) && !(eflags & EXEC_FLAG_EXPLAIN_ONLY);

	if (guarded)
		session_check_statement();
	if (query->plannedstmt->parallelModeNeeded)
		session_clear_dead_value();
	if (next_executor_start_hook)
		next_executor_start_hook(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
	if (guarded)
	{
		GuardedQuery *entry = MemoryContextAlloc(query->estate->es_query_cxt, sizeof(GuardedQuery));

		entry->query = query;
		entry->generation = session_generation();
		entry->callback.func = forget_query;
		entry->callback.arg = entry;
		dlist_push_head(&guarded_queries, &entry->node);
		MemoryContextRegisterResetCallback(query->estate->es_query_cxt, &entry->callback);
	}
}

static GuardedQuery *
guarded_query(QueryDesc *query)
{
	dlist_iter	iter;

	dlist_foreach(iter, &guarded_queries)
	{
		GuardedQuery *entry = dlist_container(GuardedQuery, node, iter.cur);

		if (entry->query == query)
			return entry;
	}
	return NULL;
}

bool
guard_statement_generation(uint64 *generation)
{
	if (running == NULL)
		return false;
	*generation = running->generation;
	return true;
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
guard_executor_run(QueryDesc *query, ScanDirection direction, uint64 count COMPAT_EXECUTE_ONCE_PARAM)
{
	GuardedQuery *outer = running;
	GuardedQuery *entry;

	if (dlist_is_empty(&guarded_queries))
	{
		run_next(query, direction, count COMPAT_EXECUTE_ONCE_ARG);
		return;
	}
	entry = guarded_query(query);
	if (entry != NULL)
	{
		(void) session_checked();
		if (entry->generation != session_generation())
			jose_raise(JOSE_SESSION_CHANGED);
	}
	PG_TRY();
	{
		running = entry;
		run_next(query, direction, count COMPAT_EXECUTE_ONCE_ARG);
	}
	PG_FINALLY();
	{
		running = outer;
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
	GuardedQuery *outer = running;

	if (dlist_is_empty(&guarded_queries))
	{
		finish_next(query);
		return;
	}
	PG_TRY();
	{
		running = guarded_query(query);
		finish_next(query);
	}
	PG_FINALLY();
	{
		running = outer;
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
		next_process_utility_hook(plan, query_string, read_only_tree, context, params, env, dest, completion);
	else
		standard_ProcessUtility(plan, query_string, read_only_tree, context, params, env, dest, completion);
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
