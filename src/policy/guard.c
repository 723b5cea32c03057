/*
 * src/policy/guard.c
 *		Planner, executor and utility hooks.
 *
 * A plan that holds a policy of ours says so (src/policy/marks.h): which form each call has, and
 * which rows it takes for regular. When such a plan starts, the session must be usable: an expired
 * or revoked one raises 28000 even if no row would have been looked at. Where the plan does not
 * fit the session of the moment, or the rows that there are, another plan of the same query takes
 * its place (src/policy/replan.h). At each further FETCH of a cursor the session must be the one
 * that it was opened under, and each call of a form that still holds. Here, too, tokens are
 * taken out of pg_stat_activity before a statement runs.
 *
 * A plan made while the library was not loaded, or behind our back, says nothing: there the policy
 * function stands unfolded, and itself checks at its first row.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/memutils.h"

#include "compat.h"
#include "policy/call.h"
#include "policy/guard.h"
#include "policy/kept_query.h"
#include "policy/marks.h"
#include "policy/replan.h"
#include "policy/statement.h"
#include "policy/upsert.h"
#include "session/log_mask.h"
#include "session/session.h"

/* One started statement on a protected table; lives and dies with its executor state. */
typedef struct GuardedQuery
{
	RunningStatement statement; /* first */
	Replanned *replanned;		/* whose plan it runs, when it is another than it was given */
	int32 interaction;			/* of that session when the forms were last compared */
	bool stands_alone;			/* some form has no row_check() that would see another session */
	MemoryContextCallback callback;
} GuardedQuery;

static planner_hook_type next_planner_hook = NULL;
static ExecutorStart_hook_type next_executor_start_hook = NULL;
static ExecutorRun_hook_type next_executor_run_hook = NULL;
static ExecutorFinish_hook_type next_executor_finish_hook = NULL;
static ProcessUtility_hook_type next_process_utility_hook = NULL;

/*
 * What a statement writes is asked apart: PostgreSQL asks the SELECT policy of the rows that INSERT
 * ... RETURNING and ON CONFLICT write or meet, and that UPDATE, DELETE and MERGE look at in
 * their own target. New rows may be irregular whatever the table's index says, so their policies
 * are not folded. Were there any?
 */
static bool
ask_of_target(Query *query)
{
	bool found = false;
	ListCell *cell;

	if (query->resultRelation > 0)
	{
		RangeTblEntry *target = rt_fetch(query->resultRelation, query->rtable);

		policy_ask_of_target((Node *) target->securityQuals);
	}
	foreach(cell, query->withCheckOptions)
	{
		WithCheckOption *option = lfirst_node(WithCheckOption, cell);

		policy_ask_of_target(option->qual);
		found |= policy_ask_by_row(option->qual);
	}
	/* data-modifying WITH stands at the top only */
	foreach(cell, query->cteList)
	{
		Query *with = castNode(Query, lfirst_node(CommonTableExpr, cell)->ctequery);

		if (with->commandType != CMD_SELECT)
			found |= ask_of_target(with);
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

/* What planning may find in a query that the rewriter is through with. */
#define MAY_HAVE_POLICIES 1
#define MAY_HAVE_PARTITIONS 2

/*
 * PostgreSQL puts policies in before planning, but for those in a function of SQL that the planner takes
 * the body of.
 */
static int
look_at(Query *query)
{
	ListCell *cell;
	int found = 0;

	if (query->hasSubLinks)
		return MAY_HAVE_POLICIES | MAY_HAVE_PARTITIONS;
	if (query->hasRowSecurity)
		found |= MAY_HAVE_POLICIES;
	foreach(cell, query->rtable)
	{
		RangeTblEntry *entry = lfirst(cell);
		RangeTblFunction *function;

		if (entry->rtekind == RTE_RELATION && entry->relkind == RELKIND_PARTITIONED_TABLE)
			found |= MAY_HAVE_PARTITIONS;
		if (entry->rtekind == RTE_SUBQUERY)
			found |= look_at(entry->subquery);
		if (entry->rtekind != RTE_FUNCTION || list_length(entry->functions) != 1)
			continue;
		function = linitial(entry->functions);
		if (IsA(function->funcexpr, FuncExpr) &&
			((FuncExpr *) function->funcexpr)->funcid >= FirstNormalObjectId)
			return MAY_HAVE_POLICIES | MAY_HAVE_PARTITIONS;
	}
	foreach(cell, query->cteList)
		found |= look_at(castNode(Query, lfirst_node(CommonTableExpr, cell)->ctequery));
	return found;
}

/* Plan, and mark the plan. *regular: may it be run? */
static PlannedStmt *
plan_and_mark(Query *parse, uint64 kept, const char *query_string, int cursor_options,
			  ParamListInfo params, PlannedStatement *this, bool *regular COMPAT_EXPLAIN_PARAM)
{
	PlannedStmt *volatile plan;

	this->parse = parse;
	this->context = CurrentMemoryContext;
	statement_enter_planning(this);
	PG_TRY();
	{
		plan = plan_next(parse, query_string, cursor_options, params COMPAT_EXPLAIN_ARG);
	}
	PG_FINALLY();
	{
		statement_leave_planning();
	}
	PG_END_TRY();
	*regular = true;
	if (this->has_policy)
		*regular = marks_put(plan, this, kept, cursor_options);
	return plan;
}

static PlannedStmt *
guard_planner(Query *parse, const char *query_string, int cursor_options,
			  ParamListInfo params COMPAT_EXPLAIN_PARAM)
{
	PlannedStatement this = {0};
	PlannedStatement again = {0};
	PlannedStmt *plan;
	Query *copy = NULL;
	uint64 kept = 0;
	int found;
	bool regular;

	/* once for each statement that a client sends */
	if (query_string != NULL && query_string == debug_query_string)
		log_mask_activity();
	this.has_policy = ask_of_target(parse);
	upsert_guard_where(parse);
	found = look_at(parse);
	this.can_fold = (found & MAY_HAVE_POLICIES) != 0;
	again = this;
	/* planning destroys the query; a plan with its parameters in it is run at once, or never */
	if (this.can_fold && params == NULL && !replan_is_of(parse))
		kept = kept_query_make(parse);
	if (this.can_fold && (found & MAY_HAVE_PARTITIONS))
		copy = copyObject(parse);
	plan = plan_and_mark(
		parse, kept, query_string, cursor_options, params, &this, &regular COMPAT_EXPLAIN_ARG);
	/* a partition that was left has irregular rows: now folding knows */
	if (!regular && copy != NULL)
		plan = plan_and_mark(
			copy, kept, query_string, cursor_options, params, &again, &regular COMPAT_EXPLAIN_ARG);
	if (kept != 0 && marks_of(plan) == NULL)
		kept_query_drop(kept);
	return plan;
}

static void
raise_plan_changed(void)
{
	ereport(ERROR,
			errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			errmsg("plan does not fit the rows of a protected table any more"),
			errdetail("A row that is no FHIR resource of the table's type was stored."),
			errhint("Repeat the transaction."),
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "plan_changed"));
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

	if (entry->statement.generation != session_generation())
		jose_raise(JOSE_SESSION_CHANGED);
	if (session == NULL || session->interaction == entry->interaction)
		return;
	if (!marks_forms_hold(marks_of(entry->statement.query->plannedstmt)))
		jose_raise(JOSE_SESSION_CHANGED);
	entry->interaction = session->interaction;
}

static void
forget_query(void *arg)
{
	GuardedQuery *entry = arg;

	statement_ended(&entry->statement);
	if (entry->replanned != NULL)
		replan_release(entry->replanned);
}

static void
start_next(QueryDesc *query, int eflags)
{
	if (query->plannedstmt->parallelModeNeeded)
		session_clear_dead_value();
	if (next_executor_start_hook)
		next_executor_start_hook(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
}

/* From here on the statement is one of ours, until its executor state goes. */
static void
guard_query(QueryDesc *query, const PlanMarks *marks, uint64 generation, Replanned *replanned)
{
	GuardedQuery *entry = MemoryContextAlloc(query->estate->es_query_cxt, sizeof(GuardedQuery));

	entry->statement.query = query;
	entry->statement.generation = generation;
	entry->replanned = replanned;
	entry->interaction = session_current() == NULL ? 0 : session_current()->interaction;
	entry->stands_alone = marks_stand_alone(marks);
	entry->callback.func = forget_query;
	entry->callback.arg = entry;
	statement_started(&entry->statement);
	MemoryContextRegisterResetCallback(query->estate->es_query_cxt, &entry->callback);
}

/* The plan that fits, in the place of the one that does not. */
static Replanned *
take_fitting_plan(QueryDesc *query, PlanMarks **marks, int eflags)
{
	PlanFit fit = marks_check(*marks, query->snapshot);
	Replanned *replanned;

	if (fit == PLAN_FITS)
		return NULL;
	replanned =
		replan(*marks, query->sourceText, (eflags & EXEC_FLAG_BACKWARD) != 0, query->snapshot);
	if (replanned != NULL)
	{
		query->plannedstmt = replan_plan(replanned);
		*marks = marks_of(query->plannedstmt);
	}
	else if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return NULL;
	else if (fit == PLAN_OF_REGULAR_ROWS)
		raise_plan_changed();
	else if (!marks_forms_hold(*marks))
		jose_raise(JOSE_SESSION_CHANGED);
	return replanned;
}

static void
guard_executor_start(QueryDesc *query, int eflags)
{
	PlanMarks *marks = marks_of(query->plannedstmt);
	RunningStatement starting = {.query = query};
	const RunningStatement *outer;
	Replanned *volatile replanned;

	if (marks == NULL)
	{
		start_next(query, eflags);
		return;
	}
	if (!(eflags & EXEC_FLAG_EXPLAIN_ONLY))
		session_check_statement();
	marks_hold_query(marks, query->plannedstmt);
	replanned = take_fitting_plan(query, &marks, eflags);
	/* partitions are pruned while it starts, by what policies compare keys with */
	starting.generation = session_generation();
	outer = statement_enter(&starting);
	PG_TRY();
	{
		start_next(query, eflags);
	}
	PG_CATCH();
	{
		statement_leave(outer);
		if (replanned != NULL)
			replan_release(replanned);
		PG_RE_THROW();
	}
	PG_END_TRY();
	statement_leave(outer);
	guard_query(query, marks, starting.generation, replanned);
	if (!(eflags & EXEC_FLAG_EXPLAIN_ONLY) && !marks_check_partitions(marks, query))
		raise_plan_changed();
}

static GuardedQuery *
guarded_query(const QueryDesc *query)
{
	RunningStatement *statement = statement_of(query);

	return statement == NULL ? NULL : (GuardedQuery *) statement;
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

	if (!statement_any_started())
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

	if (!statement_any_started())
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
}
