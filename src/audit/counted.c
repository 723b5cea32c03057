/*
 * src/audit/counted.c
 *		Which protected tables a plan names, and PostgreSQL's own instrumentation on the nodes that read or
 *		change them. See src/audit/counted.h.
 *
 * A partition counts as the table that the statement names. What an UPDATE, DELETE or MERGE looks at in its
 * own target is no read of its own.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "parser/parsetree.h"

#include "compat.h"
#include "audit/counted.h"
#include "audit/watched.h"

/* One protected table of the query. */
typedef struct CountedTable
{
	ProtectedTable *table;
	bool is_read;
	bool is_target;
} CountedTable;

struct CountedTables
{
	CmdType command;
	int n;
	CountedTable *tables;
	int n_rte;
	int *by_rte;	   /* of each range table entry: index of its table, or -1 */
	Bitmapset *target; /* range table indexes that are written to */
	EState *estate;	   /* NULL until it is there */
	bool counts_reads;
	List *scans;   /* PlanState */
	List *writers; /* ModifyTableState */
	List *gathers; /* GatherState and GatherMergeState */
};

static int
table_index(CountedTables *counted, const RangeTblEntry *entry)
{
	ProtectedTable *table = protected_find(entry->relid);

	if (table == NULL)
		return -1;
	for (int i = 0; i < counted->n; i++)
	{
		if (counted->tables[i].table == table)
		{
			protected_release(table);
			return i;
		}
	}
	if (counted->tables == NULL)
		counted->tables = palloc0(sizeof(CountedTable) * counted->n_rte);
	counted->tables[counted->n].table = table;
	return counted->n++;
}

static void
note_target(CountedTables *counted, const Plan *plan)
{
	const ModifyTable *writer = (const ModifyTable *) plan;
	ListCell *cell;

	if (plan == NULL || !IsA(plan, ModifyTable))
		return;
	counted->target = bms_add_member(counted->target, writer->nominalRelation);
	if (writer->rootRelation != 0)
		counted->target = bms_add_member(counted->target, writer->rootRelation);
	/* what ON CONFLICT calls excluded is no table */
	if (writer->exclRelRTI != 0)
		counted->target = bms_add_member(counted->target, writer->exclRelRTI);
	foreach(cell, writer->resultRelations)
		counted->target = bms_add_member(counted->target, lfirst_int(cell));
}

static bool
is_relation(const RangeTblEntry *entry)
{
	return entry->rtekind == RTE_RELATION && entry->relkind != RELKIND_VIEW;
}

CountedTables *
counted_begin(const PlannedStmt *plan)
{
	CountedTables found = {.command = plan->commandType, .n_rte = list_length(plan->rtable)};
	CountedTables *counted;
	ListCell *cell;
	int rti = 0;

	foreach(cell, plan->rtable)
	{
		RangeTblEntry *entry = lfirst(cell);
		int at = is_relation(entry) ? table_index(&found, entry) : -1;

		if (at >= 0 && found.by_rte == NULL)
		{
			found.by_rte = palloc(sizeof(int) * (found.n_rte + 1));
			for (int i = 0; i <= found.n_rte; i++)
				found.by_rte[i] = -1;
		}
		rti++;
		if (at >= 0)
			found.by_rte[rti] = at;
	}
	if (found.n == 0)
		return NULL;
	/* ModifyTable stands at the top, of the plan or of a WITH query's */
	note_target(&found, plan->planTree);
	foreach(cell, plan->subplans)
		note_target(&found, lfirst(cell));
	/* a table comes before its partitions */
	foreach(cell, plan->appendRelations)
	{
		AppendRelInfo *child = lfirst(cell);

		if (is_relation(rt_fetch(child->parent_relid, plan->rtable)) &&
			found.by_rte[child->parent_relid] >= 0)
			found.by_rte[child->child_relid] = found.by_rte[child->parent_relid];
	}
	for (rti = 1; rti <= found.n_rte; rti++)
	{
		CountedTable *table;

		if (found.by_rte[rti] < 0)
			continue;
		table = &found.tables[found.by_rte[rti]];
		if (bms_is_member(rti, found.target))
			table->is_target = true;
		else
			table->is_read = true;
	}
	counted = palloc(sizeof(CountedTables));
	*counted = found;
	return counted;
}

/* The range table index that a node scans; 0: none. */
static Index
scanned(const PlanState *node)
{
	switch (nodeTag(node))
	{
		case T_SeqScanState:
		case T_SampleScanState:
		case T_IndexScanState:
		case T_IndexOnlyScanState:
		case T_BitmapHeapScanState:
		case T_TidScanState:
		case T_TidRangeScanState:
		case T_ForeignScanState:
		case T_CustomScanState:
			return ((const Scan *) node->plan)->scanrelid;
		default:
			return 0;
	}
}

static void
count_rows_of(PlanState *node)
{
	if (node != NULL && node->instrument == NULL)
		node->instrument = compat_instrument_rows();
}

/* Are its rows not those that the executor counts anyway? */
static bool
must_count(const ModifyTableState *writer)
{
	return !writer->canSetTag ||
		   ((const ModifyTable *) writer->ps.plan)->onConflictAction == ONCONFLICT_UPDATE;
}

typedef struct AttachContext
{
	CountedTables *counted;
	bool reads;
	AuditUnit *unit; /* to be told of patients; NULL: not */
} AttachContext;

static void
attach_writer(ModifyTableState *writer, const AttachContext *context)
{
	CountedTables *counted = context->counted;

	if (counted->by_rte[((ModifyTable *) writer->ps.plan)->nominalRelation] < 0)
		return;
	counted->writers = lappend(counted->writers, writer);
	if (must_count(writer))
	{
		count_rows_of(&writer->ps);
		count_rows_of(outerPlanState(writer));
	}
	if (context->unit != NULL && writer->operation == CMD_INSERT)
		watched_insert(
			outerPlanState(writer), writer->rootResultRelInfo->ri_RelationDesc, context->unit);
}

static bool
attach(PlanState *node, void *context)
{
	AttachContext *attaching = context;
	CountedTables *counted = attaching->counted;
	Index rti;

	if (node == NULL)
		return false;
	if (IsA(node, ModifyTableState))
		attach_writer((ModifyTableState *) node, attaching);
	else if (IsA(node, GatherState) || IsA(node, GatherMergeState))
		counted->gathers = lappend(counted->gathers, node);
	else if ((rti = scanned(node)) != 0 && counted->by_rte[rti] >= 0)
	{
		if (attaching->reads && !bms_is_member(rti, counted->target))
		{
			count_rows_of(node);
			counted->scans = lappend(counted->scans, node);
		}
		if (attaching->unit != NULL)
			watched_scan((ScanState *) node, attaching->unit);
	}
	return planstate_tree_walker(node, attach, context);
}

void
counted_attach(CountedTables *counted, QueryDesc *query, bool reads, AuditUnit *unit, bool patients)
{
	AttachContext context = {counted, reads, NULL};

	/* of what is not recorded nobody asks */
	if (patients && (reads || !bms_is_empty(counted->target)))
		context.unit = unit;

	counted->estate = query->estate;
	counted->counts_reads = reads;
	(void) attach(query->planstate, &context);
}

static double
rows_of(const PlanState *node)
{
	if (node == NULL || node->instrument == NULL)
		return AUDIT_ROWS_UNKNOWN;
	return node->instrument->ntuples + node->instrument->tuplecount;
}

/* Rows that a writer changed, other than by ON CONFLICT and MERGE. */
static double
rows_written(const CountedTables *counted, const ModifyTableState *writer)
{
	const PlanState *node = &writer->ps;

	if (writer->canSetTag)
		return (double) counted->estate->es_processed;
	/* RETURNING gives each row that was written */
	if (((const ModifyTable *) node->plan)->returningLists != NIL)
		return rows_of(node);
	return rows_of(outerPlanState(node)) -
		   (writer->operation == CMD_INSERT && node->instrument != NULL ? node->instrument->ntuples2
																		: 0);
}

static void
gather_merge(const ModifyTableState *writer, ProtectedTable *table, AuditUnit *unit)
{
	const double rows[] = {
		writer->mt_merge_inserted, writer->mt_merge_updated, writer->mt_merge_deleted};
	const AuditAction actions[] = {AUDIT_CREATE, AUDIT_UPDATE, AUDIT_DELETE};
	bool any = false;

	for (size_t i = 0; i < lengthof(rows); i++)
	{
		if (rows[i] > 0)
			unit_use(unit, table, actions[i], rows[i]);
		any |= rows[i] > 0;
	}
	if (!any)
		unit_use(unit, table, AUDIT_UPDATE, 0);
}

static void
gather_writer(const CountedTables *counted, const ModifyTableState *writer, AuditUnit *unit)
{
	const ModifyTable *plan = (const ModifyTable *) writer->ps.plan;
	ProtectedTable *table = counted->tables[counted->by_rte[plan->nominalRelation]].table;
	double rows;
	double updated;

	if (writer->operation == CMD_MERGE)
	{
		gather_merge(writer, table, unit);
		return;
	}
	rows = rows_written(counted, writer);
	if (writer->operation != CMD_INSERT)
	{
		unit_use(unit, table, writer->operation == CMD_UPDATE ? AUDIT_UPDATE : AUDIT_DELETE, rows);
		return;
	}
	updated = plan->onConflictAction == ONCONFLICT_UPDATE && writer->ps.instrument != NULL
				  ? writer->ps.instrument->ntuples2 - writer->ps.instrument->nfiltered1
				  : 0;
	if (updated > 0)
		unit_use(unit, table, AUDIT_UPDATE, updated);
	/* the executor counts both; without it only what was inserted was */
	if (writer->canSetTag || plan->returningLists != NIL)
		rows -= updated;
	if (rows != 0 || updated <= 0)
		unit_use(unit, table, AUDIT_CREATE, rows);
}

static AuditAction
action_of(CmdType command)
{
	return command == CMD_INSERT   ? AUDIT_CREATE
		   : command == CMD_UPDATE ? AUDIT_UPDATE
		   : command == CMD_DELETE ? AUDIT_DELETE
								   : AUDIT_UPDATE;
}

/* Rows that workers read were looked at by nobody. */
static void
gather_workers(const CountedTables *counted, AuditUnit *unit)
{
	ListCell *cell;

	foreach(cell, counted->gathers)
	{
		const PlanState *node = lfirst(cell);

		if (IsA(node, GatherState) ? ((const GatherState *) node)->nworkers_launched > 0
								   : ((const GatherMergeState *) node)->nworkers_launched > 0)
			unit_more_patients(unit);
	}
}

void
counted_gather(CountedTables *counted, AuditUnit *unit, bool reads)
{
	double *rows = palloc0(sizeof(double) * counted->n);
	ListCell *cell;

	foreach(cell, counted->scans)
	{
		const PlanState *node = lfirst(cell);

		rows[counted->by_rte[scanned(node)]] += rows_of(node);
	}
	gather_workers(counted, unit);
	foreach(cell, counted->writers)
		gather_writer(counted, lfirst(cell), unit);
	for (int i = 0; i < counted->n; i++)
	{
		const CountedTable *table = &counted->tables[i];

		/* it failed before it began */
		if (table->is_target && counted->writers == NIL)
			unit_use(unit, table->table, action_of(counted->command), AUDIT_ROWS_UNKNOWN);
		if (table->is_read && reads)
			unit_use(unit,
					 table->table,
					 AUDIT_READ,
					 counted->counts_reads ? rows[i] : AUDIT_ROWS_UNKNOWN);
	}
	pfree(rows);
}

void
counted_gather_denied(CountedTables *counted, AuditUnit *unit, const AuditFailure *failure)
{
	for (int i = 0; i < counted->n; i++)
	{
		const CountedTable *table = &counted->tables[i];

		unit_denied_inside(unit,
						   table->table,
						   table->is_target ? action_of(counted->command) : AUDIT_READ,
						   failure);
	}
}

void
counted_end(CountedTables *counted)
{
	for (int i = 0; i < counted->n; i++)
		protected_release(counted->tables[i].table);
}
