/*
 * src/policy/follow_refresh.c
 *		Looking up again whose all rows of a table are, for smart.refresh_followed().
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "policy/follow_find.h"
#include "policy/follow_move.h"
#include "policy/owner.h"

PG_FUNCTION_INFO_V1(smart_follow_rows);

static int64
refresh_table(Following *state, Relation rel, bool everything, List **queue)
{
	StoredTable *table = following_table(state, rel);
	Snapshot snapshot;
	TableScanDesc scan;
	TupleTableSlot *slot;
	int64 changed = 0;

	if (table == NULL || table->path == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("table \"%s\" follows nothing", RelationGetRelationName(rel)),
				errhint("Protect it with follow => the element that names the other records."),
				err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
				err_generic_string(PG_DIAG_CONSTRAINT_NAME, "protect"));
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	slot = table_slot_create(rel, NULL);
	scan = compat_table_beginscan(rel, snapshot);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		ItemPointerData tid = slot->tts_tid;
		MemoryContext old;
		const char *patient;
		const char *found;
		NamedRecord *named;
		StoredRow row;
		int n;
		bool isnull;

		CHECK_FOR_INTERRUPTS();
		(void) slot_getattr(slot, table->column, &isnull);
		if (!isnull && !everything)
			continue;
		MemoryContextReset(state->row_context);
		old = MemoryContextSwitchTo(state->row_context);
		ExecCopySlot(table->slot, slot);
		stored_row_read(table, &row);
		patient = stored_row_patient(table);
		n = stored_row_named(table, &row, &named);
		found = follow_find_patient(state, table, named, n);
		/* what somebody else changed since was looked up by his statement */
		if (!follow_same_text(patient, found) && stored_row_lock(table, rel, &tid) == TM_Ok)
		{
			if (found != NULL)
				changed += follow_act_on_row(state, table, rel, FOLLOW_FIND, queue);
			else
			{
				following_set_patient(state, table, rel, NULL);
				changed++;
			}
		}
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	ExecClearTuple(table->slot);
	return changed;
}

static int64
follow_rows(Following *state, Oid relid, Oid owner, bool everything)
{
	List *queue = NIL;
	int64 changed = 0;
	ListCell *cell;

	state->at = get_rel_name(relid);
	foreach(cell, follow_leaves(relid))
	{
		Relation rel = following_open(lfirst_oid(cell), owner, RowExclusiveLock);

		if (rel == NULL)
			continue;
		if (rel->rd_rel->relkind != RELKIND_RELATION)
			ereport(ERROR,
					errcode(ERRCODE_WRONG_OBJECT_TYPE),
					errmsg("\"%s\" is not a table", RelationGetRelationName(rel)),
					err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
					err_generic_string(PG_DIAG_CONSTRAINT_NAME, "protect"));
		changed += refresh_table(state, rel, everything, &queue);
		relation_close(rel, NoLock);
	}
	/* rows that name one of those */
	return changed + follow_act_on_queue(state, owner, queue, FOLLOW_FIND);
}

/*
 * smart_internal.follow_rows(relation regclass, everything boolean) -> bigint: look up rows that
 * are nobody's, or everything; how many got another patient
 */
Datum
smart_follow_rows(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	Oid owner = owner_checked(relid);
	MemoryContext caller = CurrentMemoryContext;
	Following *state = following_begin(caller);
	AsOwner before = become_owner(owner);
	volatile int64 changed = 0;

	PG_TRY();
	{
		changed = follow_rows(state, relid, owner, PG_GETARG_BOOL(1));
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		following_hide_error(state);
	}
	PG_END_TRY();
	leave_owner(before);
	PG_RETURN_INT64(changed);
}
