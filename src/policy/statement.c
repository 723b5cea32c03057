/*
 * src/policy/statement.c
 *		Which statement is being planned, and which one runs. See src/policy/statement.h.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "parser/parsetree.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "compat.h"
#include "policy/statement.h"

static PlannedStatement *planning = NULL;
static const RunningStatement *running = NULL; /* the innermost one, when it has policies */

void
statement_enter_planning(PlannedStatement *planned)
{
	planned->outer = planning;
	planned->outer_running = running;
	planning = planned;
	running = NULL;
}

void
statement_leave_planning(void)
{
	running = planning->outer_running;
	planning = planning->outer;
}

const RunningStatement *
statement_enter(const RunningStatement *statement)
{
	const RunningStatement *outer = running;

	running = statement;
	return outer;
}

void
statement_leave(const RunningStatement *outer)
{
	running = outer;
}

void
statement_note_policy(void)
{
	if (planning != NULL)
		planning->has_policy = true;
}

bool
statement_is_planned(void)
{
	return planning != NULL && running == NULL;
}

bool
statement_is_query(PlannerInfo *root)
{
	if (planning == NULL || IsParallelWorker())
		return false;
	while (root->parent_root != NULL)
		root = root->parent_root;
	return root->parse != NULL && root->parse == planning->parse;
}

void
statement_mark(int cache_id, uint32 value)
{
	MemoryContext old;
	PlanInvalItem *mark;
	ListCell *cell;

	if (planning == NULL)
		return;
	foreach(cell, planning->marks)
	{
		mark = lfirst(cell);
		if (mark->cacheId == cache_id && mark->hashValue == value)
			return;
	}
	old = MemoryContextSwitchTo(planning->context);
	mark = makeNode(PlanInvalItem);
	mark->cacheId = cache_id;
	mark->hashValue = value;
	planning->marks = lappend(planning->marks, mark);
	MemoryContextSwitchTo(old);
}

bool
statement_generation(uint64 *generation)
{
	if (running == NULL)
		return false;
	*generation = running->generation;
	return true;
}

void
statement_note_irregular_row(void)
{
	const PlannedStmt *plan;

	if (running == NULL)
		return;
	plan = running->query->plannedstmt;
	for (int rti = 1; rti <= list_length(plan->rtable); rti++)
	{
		if (compat_is_result_relation(plan, rti))
			CacheInvalidateRelcacheByRelid(rt_fetch(rti, plan->rtable)->relid);
	}
}
