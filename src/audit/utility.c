/*
 * src/audit/utility.c
 *		Statements that no executor runs.
 */
#include "postgres.h"

#include "nodes/parsenodes.h"
#include "tcop/utility.h"

#include "compat.h"
#include "audit/events.h"
#include "audit/settings.h"

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
	outer = audit_settings_enter_set(IsA(plan->utilityStmt, VariableSetStmt));
	PG_TRY();
	{
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
