/*
 * src/policy/statement.c
 *		Which statement is being planned, and which ones run. See src/policy/statement.h.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "nodes/execnodes.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "parser/parsetree.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "compat.h"
#include "policy/statement.h"

static PlannedStatement *planning = NULL;
static const RunningStatement *running = NULL; /* the innermost one, when it has policies */
static dlist_head started = DLIST_STATIC_INIT(started);

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
statement_started(RunningStatement *statement)
{
	dlist_push_head(&started, &statement->node);
}

void
statement_ended(RunningStatement *statement)
{
	dlist_delete(&statement->node);
}

RunningStatement *
statement_of(const QueryDesc *query)
{
	dlist_iter iter;

	dlist_foreach(iter, &started)
	{
		RunningStatement *statement = dlist_container(RunningStatement, node, iter.cur);

		if (statement->query == query)
			return statement;
	}
	return NULL;
}

bool
statement_any_started(void)
{
	return !dlist_is_empty(&started);
}

bool
statement_is_query(PlannerInfo *root)
{
	if (planning == NULL || !planning->can_fold || IsParallelWorker())
		return false;
	while (root->parent_root != NULL)
		root = root->parent_root;
	return root->parse != NULL && root->parse == planning->parse;
}

void
statement_note_policy(void)
{
	if (planning != NULL)
		planning->has_policy = true;
}

void
statement_note_call(List *call, int form)
{
	MemoryContext old;
	ListCell *cell;
	ListCell *form_cell;

	forboth(cell, planning->calls, form_cell, planning->forms)
		if (lfirst_int(form_cell) == form && equal(lfirst(cell), call))
			return;
	old = MemoryContextSwitchTo(planning->context);
	planning->calls = lappend(planning->calls, copyObject(call));
	planning->forms = lappend_int(planning->forms, form);
	MemoryContextSwitchTo(old);
}

void
statement_note_regular(Oid table, Oid index)
{
	MemoryContext old = MemoryContextSwitchTo(planning->context);

	if (!list_member_oid(planning->tables, table))
	{
		planning->tables = lappend_oid(planning->tables, table);
		planning->indexes = lappend_oid(planning->indexes, index);
	}
	MemoryContextSwitchTo(old);
}

bool
statement_is_planned(void)
{
	return planning != NULL && running == NULL;
}

bool
statement_generation(MemoryContext memory, uint64 *generation)
{
	dlist_iter iter;

	if (running != NULL)
	{
		*generation = running->generation;
		return true;
	}
	/* PostgreSQL rewinds a cursor outside of any hook, and asks for its keys again */
	dlist_foreach(iter, &started)
	{
		RunningStatement *statement = dlist_container(RunningStatement, node, iter.cur);

		if (statement->query->estate != NULL && statement->query->estate->es_query_cxt == memory)
		{
			*generation = statement->generation;
			return true;
		}
	}
	return false;
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
