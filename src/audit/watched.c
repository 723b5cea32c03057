/*
 * src/audit/watched.c
 *		Rows on their way out of a node: whom are they about?
 *
 * The node's function is put behind one of ours. What that needs is found from the node: PostgreSQL's counter
 * of its rows is the first member of ours.
 */
#include "postgres.h"

#include "access/relscan.h"
#include "access/tableam.h"
#include "executor/executor.h"

#include "compat.h"
#include "audit/row_patients.h"
#include "audit/watched.h"

typedef struct Watched
{
	CompatInstrumentation counter; /* first */
	ExecProcNodeMtd next;
	AuditUnit *unit;
	RowPatients *scanned;  /* of the row that the scan is at */
	RowPatients *inserted; /* of the row that leaves */
	TupleTableSlot *whole; /* for scans of an index alone, which have not the row */
} Watched;

/* The row that a scan is at, before projection; NULL: it has not got it. */
static TupleTableSlot *
row_of_scan(const ScanState *node, Watched *watched)
{
	const IndexOnlyScanState *index_only = (const IndexOnlyScanState *) node;

	if (!IsA(node, IndexOnlyScanState))
		return node->ss_ScanTupleSlot;
	if (watched->whole == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(node->ps.state->es_query_cxt);

		watched->whole = table_slot_create(node->ss_currentRelation, &node->ps.state->es_tupleTable);
		MemoryContextSwitchTo(old);
	}
	if (index_only->ioss_ScanDesc == NULL ||
		!table_tuple_fetch_row_version(node->ss_currentRelation,
									   &index_only->ioss_ScanDesc->xs_heaptid,
									   node->ps.state->es_snapshot,
									   watched->whole))
		return NULL;
	return watched->whole;
}

static void
look_at_scan(ScanState *node, Watched *watched)
{
	TupleTableSlot *slot = row_of_scan(node, watched);

	if (TupIsNull(slot))
		unit_more_patients(watched->unit);
	else
		row_patients_add(watched->scanned, slot, watched->unit);
	if (watched->whole != NULL)
		ExecClearTuple(watched->whole);
}

static TupleTableSlot *
watch(PlanState *node)
{
	Watched *watched = (Watched *) node->instrument;
	TupleTableSlot *slot = watched->next(node);

	if (TupIsNull(slot) || !unit_wants_patients(watched->unit))
		return slot;
	if (watched->scanned != NULL)
		look_at_scan((ScanState *) node, watched);
	if (watched->inserted != NULL)
		row_patients_add(watched->inserted, slot, watched->unit);
	return slot;
}

static Watched *
watch_node(PlanState *node, AuditUnit *unit)
{
	Watched *watched;

	if (node->ExecProcNodeReal == watch)
		return (Watched *) node->instrument;
	watched = palloc0(sizeof(Watched));
	watched->counter = node->instrument != NULL ? *node->instrument : *compat_instrument_rows();
	watched->next = node->ExecProcNodeReal;
	watched->unit = unit;
	node->instrument = &watched->counter;
	ExecSetExecProcNode(node, watch);
	return watched;
}

void
watched_scan(ScanState *node, AuditUnit *unit)
{
	RowPatients *rows = row_patients_begin(node->ss_currentRelation);

	if (rows == NULL)
		unit_more_patients(unit);
	else
		watch_node(&node->ps, unit)->scanned = rows;
}

void
watched_insert(PlanState *node, Relation into, AuditUnit *unit)
{
	RowPatients *rows = row_patients_begin(into);

	if (rows == NULL)
		unit_more_patients(unit);
	else
		watch_node(node, unit)->inserted = rows;
}
