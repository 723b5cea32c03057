/*
 * src/audit/parallel.c
 *		No statement is hidden in a parallel worker.
 *
 * Workers record nothing: rows that their part of the plan reads are counted by the leader. But a function
 * that a worker calls may run statements of its own, which no leader knows of. So where reads are recorded, a
 * query that calls a function in a language that can is planned without workers.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "optimizer/planner.h"
#include "utils/syscache.h"

#include "compat.h"
#include "audit/events.h"
#include "audit/settings.h"

static planner_hook_type next_planner_hook = NULL;

/* Of PostgreSQL's own, those that run statements are not for workers anyway. */
static bool
may_run_statements(Oid function, void *context)
{
	HeapTuple tuple;
	Form_pg_proc form;
	bool may = true;

	if (function < FirstNormalObjectId)
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return true;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	may = form->prokind == PROKIND_AGGREGATE ||
		  (form->prolang != INTERNALlanguageId && form->prolang != ClanguageId);
	ReleaseSysCache(tuple);
	return may;
}

static bool
calls_statements(Node *node, void *context)
{
	if (node == NULL)
		return false;
	/* a domain's constraints call what they like */
	if (IsA(node, CoerceToDomain) && ((CoerceToDomain *) node)->resulttype >= FirstNormalObjectId)
		return true;
	if (check_functions_in_node(node, may_run_statements, NULL))
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, calls_statements, NULL, 0);
	return expression_tree_walker(node, calls_statements, NULL);
}

static PlannedStmt *
audit_planner(Query *query, const char *query_string, int cursor_options,
			  ParamListInfo params COMPAT_EXPLAIN_PARAM)
{
	if (audit_level >= AUDIT_ALL && (cursor_options & CURSOR_OPT_PARALLEL_OK) != 0 &&
		calls_statements((Node *) query, NULL))
		cursor_options &= ~CURSOR_OPT_PARALLEL_OK;
	if (next_planner_hook)
		return next_planner_hook(query, query_string, cursor_options, params COMPAT_EXPLAIN_ARG);
	return standard_planner(query, query_string, cursor_options, params COMPAT_EXPLAIN_ARG);
}

void
parallel_audit_init(void)
{
	next_planner_hook = planner_hook;
	planner_hook = audit_planner;
}
