/*
 * src/policy/marks.c
 *		What a plan on protected tables says of itself. See src/policy/marks.h.
 *
 * The fields of the range table entry that are used: values_lists (the calls: command, type,
 * options), coltypmods (the form of each), coltypes (tables whose rows were taken for regular),
 * joinrightcols and colcollations (range table index, and the OID of the index that must be empty;
 * range table index 0: whatever the plan reads), joinleftcols (number of the query and cursor
 * options), ctelevelsup (1: the query is held by the plan's memory).
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "nodes/execnodes.h"
#include "nodes/makefuncs.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compat.h"
#include "policy/forms.h"
#include "policy/kept_query.h"
#include "policy/marks.h"
#include "policy/regular.h"
#include "session/session.h"

#define MARKS_NAME "smart_fhir"

/* The leaves that a plan may read of partitioned tables that were taken for regular. */
static bool
put_partitions(const PlannedStmt *plan, Oid table, Oid table_index, PlanMarks *marks)
{
	Bitmapset *members = NULL;
	ListCell *cell;
	int rti = 0;
	bool regular = true;

	foreach(cell, plan->rtable)
	{
		RangeTblEntry *entry = lfirst(cell);

		rti++;
		if (entry->rtekind == RTE_RELATION && entry->relid == table)
			members = bms_add_member(members, rti);
	}
	/* a table comes before its partitions */
	foreach(cell, plan->appendRelations)
	{
		AppendRelInfo *child = lfirst(cell);
		RangeTblEntry *entry = rt_fetch(child->child_relid, plan->rtable);
		Oid index;

		if (!bms_is_member(child->parent_relid, members))
			continue;
		members = bms_add_member(members, child->child_relid);
		if (entry->relkind == RELKIND_PARTITIONED_TABLE)
			continue;
		index = regular_index_of_partition(entry->relid, table_index);
		if (!policy_regular_index_is_empty(index, NULL))
			regular = false;
		marks->joinrightcols = lappend_int(marks->joinrightcols, child->child_relid);
		marks->colcollations = lappend_oid(marks->colcollations, index);
	}
	bms_free(members);
	if (!regular)
		regular_forget_table(table);
	return regular;
}

bool
marks_put(PlannedStmt *plan, const PlannedStatement *planned, uint64 query_id, int cursor_options)
{
	MemoryContext old = MemoryContextSwitchTo(planned->context);
	PlanMarks *marks = makeNode(RangeTblEntry);
	ListCell *table;
	ListCell *index;
	bool regular = true;

	marks->rtekind = RTE_RESULT;
	marks->eref = makeAlias(MARKS_NAME, NIL);
	marks->values_lists = planned->calls;
	marks->coltypmods = planned->forms;
	marks->coltypes = planned->tables;
	marks->joinleftcols =
		list_make3_int((int) (query_id >> 32), (int) (uint32) query_id, cursor_options);
	forboth(table, planned->tables, index, planned->indexes)
	{
		if (get_rel_relkind(lfirst_oid(table)) == RELKIND_PARTITIONED_TABLE)
			regular &= put_partitions(plan, lfirst_oid(table), lfirst_oid(index), marks);
		else
		{
			marks->joinrightcols = lappend_int(marks->joinrightcols, 0);
			marks->colcollations = lappend_oid(marks->colcollations, lfirst_oid(index));
		}
	}
	plan->rtable = lappend(plan->rtable, marks);
	MemoryContextSwitchTo(old);
	return regular;
}

PlanMarks *
marks_of(const PlannedStmt *plan)
{
	/* the last, unless some other extension puts entries there as well */
	for (int i = list_length(plan->rtable) - 1; i >= 0; i--)
	{
		RangeTblEntry *entry = list_nth(plan->rtable, i);

		if (entry->rtekind == RTE_RESULT && entry->joinleftcols != NIL && entry->eref != NULL &&
			strcmp(entry->eref->aliasname, MARKS_NAME) == 0)
			return entry;
	}
	return NULL;
}

uint64
marks_query(const PlanMarks *marks)
{
	return (uint64) (uint32) linitial_int(marks->joinleftcols) << 32 |
		   (uint32) lsecond_int(marks->joinleftcols);
}

int
marks_cursor_options(const PlanMarks *marks)
{
	return lthird_int(marks->joinleftcols);
}

void
marks_hold_query(PlanMarks *marks, PlannedStmt *plan)
{
	if (marks->ctelevelsup != 0)
		return;
	kept_query_hold(marks_query(marks), plan);
	marks->ctelevelsup = 1;
}

/* The form of a call under a session. */
static PolicyForm
form_of(List *call, const Session *session)
{
	Const *type = lsecond_node(Const, call);
	int levels;

	return policy_call_form(
		policy_call_find(DatumGetTextPP(linitial_node(Const, call)->constvalue),
						 type->constisnull ? NULL : DatumGetTextPP(type->constvalue),
						 DatumGetJsonbP(lthird_node(Const, call)->constvalue)),
		session,
		&levels);
}

/* exactly: a form that is right, but made for other sessions, does not fit. */
static bool
forms_fit(const PlanMarks *marks, bool exactly)
{
	const Session *session = session_current();
	ListCell *cell;
	ListCell *form_cell;

	forboth(cell, marks->values_lists, form_cell, marks->coltypmods)
	{
		PolicyForm form = lfirst_int(form_cell);

		if (!exactly && (form == POLICY_BY_ROW || form == POLICY_ALL_BY_ROW))
			continue;
		if (form == POLICY_ALL_BY_ROW)
			form = POLICY_ALL;
		/* under nobody every other form shows nothing */
		if (session == NULL ? lfirst_int(form_cell) == POLICY_ALL
							: form_of(lfirst(cell), session) != form)
			return false;
	}
	return true;
}

bool
marks_forms_hold(const PlanMarks *marks)
{
	return forms_fit(marks, false);
}

uint32
marks_forms_hash(const PlanMarks *marks)
{
	const Session *session = session_current();
	ListCell *call;
	uint32 hash = session == NULL;

	foreach(call, marks->values_lists)
		hash = hash_combine(hash, form_of(lfirst(call), session) + 1);
	return hash;
}

PlanFit
marks_check(const PlanMarks *marks, Snapshot snapshot)
{
	ListCell *rti;
	ListCell *index;

	if (!forms_fit(marks, true))
		return PLAN_OF_ANOTHER_FORM;
	if (regular_any_forgotten(marks->coltypes))
		return PLAN_OF_REGULAR_ROWS;
	forboth(rti, marks->joinrightcols, index, marks->colcollations)
		if (lfirst_int(rti) == 0 && !policy_regular_index_is_empty(lfirst_oid(index), snapshot))
			return PLAN_OF_REGULAR_ROWS;
	return PLAN_FITS;
}

bool
marks_check_partitions(const PlanMarks *marks, const QueryDesc *query)
{
	const EState *estate = query->estate;
	ListCell *rti;
	ListCell *index;

	/* of those that initial pruning took away none is open */
	forboth(rti, marks->joinrightcols, index, marks->colcollations)
		if (lfirst_int(rti) != 0 && estate->es_relations[lfirst_int(rti) - 1] != NULL &&
			!policy_regular_index_is_empty(lfirst_oid(index), query->snapshot))
		{
			ListCell *table;

			foreach(table, marks->coltypes)
				if (get_rel_relkind(lfirst_oid(table)) == RELKIND_PARTITIONED_TABLE)
					regular_forget_table(lfirst_oid(table));
			return false;
		}
	return true;
}

bool
marks_stand_alone(const PlanMarks *marks)
{
	ListCell *cell;

	foreach(cell, marks->coltypmods)
		if (policy_form_is_whole(lfirst_int(cell)) || lfirst_int(cell) == POLICY_ALL)
			return true;
	return false;
}
