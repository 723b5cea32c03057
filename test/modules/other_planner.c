/*
 * test/modules/other_planner.c
 *		A planner hook that calls standard_planner() and nobody else's hook, for
 *		test/t/047_plan_hooks.pl. What other_planner.copy asks for, it plans a copy of the query.
 */
#include "postgres.h"

#include "fmgr.h"
#include "optimizer/planner.h"
#include "utils/guc.h"

#include "../../src/compat.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

static bool copy = false;

static PlannedStmt *
other_planner(Query *parse, const char *query_string, int cursor_options,
			  ParamListInfo params COMPAT_EXPLAIN_PARAM)
{
	return standard_planner(copy ? copyObject(parse) : parse,
							query_string,
							cursor_options,
							params COMPAT_EXPLAIN_ARG);
}

void
_PG_init(void)
{
	DefineCustomBoolVariable(
		"other_planner.copy", "Plans a copy.", NULL, &copy, false, PGC_USERSET, 0, NULL, NULL, NULL);
	planner_hook = other_planner;
}
