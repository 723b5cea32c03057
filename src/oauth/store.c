/*
 * src/oauth/store.c
 *		Rows of the authorization server's tables.
 *
 * Scans are catalog scans: each takes a new snapshot, so that what another session committed a
 * moment ago counts in every isolation level. Writes go through CatalogTupleInsert() and its
 * kin, which maintain the indexes, unique ones too, and ask for no privilege; whoever calls
 * must have decided already that this may be written.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/pg_collation.h"
#include "common/pg_prng.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "oauth/store_catalog.h"

/*
 * One call in so many deletes up to so many expired rows: more than come in that time, and so few that
 * no request takes notably longer than others. Rows that others are deleting are passed, up to a number.
 */
#define CLEAN_EVERY 8
#define CLEAN_ROWS 16
#define CLEAN_LOOK 512
/* A backend looks for expired rows from the beginning for this part of its time at most. */
#define SWEEP_SHARE 200

/* Up to which time the expired rows of a table are gone, as this backend found. */
static struct
{
	TimestampTz until;
	TimestampTz again; /* when to look from the beginning */
} swept[STORE_N_TABLES];

struct StoreScan
{
	StoreTable table;
	Relation rel;
	SysScanDesc scan;
};

/*
 * Between the name and the lock the extension may have been dropped, and made again: whoever waited
 * for the lock has heard of it by then.
 */
static Relation
open_table(StoreTable table, LOCKMODE lockmode)
{
	Relation rel = try_table_open(store_table_oid(table), lockmode);

	return rel != NULL ? rel : table_open(store_table_oid(table), lockmode);
}

static Relation
open_for_reading(StoreTable table)
{
	return open_table(table, AccessShareLock);
}

/* The lock stays until the transaction ends. */
static Relation
open_for_writing(StoreTable table)
{
	PreventCommandIfReadOnly("writing to the authorization server's tables");
	PreventCommandIfParallelMode("writing to the authorization server's tables");
	return open_table(table, RowExclusiveLock);
}

static void
close_written(StoreTable table, Relation rel)
{
	if (store_tables[table].watched)
		CacheInvalidateRelcache(rel);
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

StoreRow *
store_row(StoreTable table)
{
	StoreRow *row = palloc0(sizeof(StoreRow));

	row->table = table;
	memset(row->nulls, true, sizeof(row->nulls));
	return row;
}

void
store_set(StoreRow *row, int column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = false;
}

void
store_set_text(StoreRow *row, int column, const char *text)
{
	row->nulls[column] = text == NULL;
	row->values[column] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/* Take over a tuple, which may belong to a buffer. */
static void
read_tuple(StoreRow *row, HeapTuple tuple, TupleDesc desc)
{
	if (desc->natts != store_tables[row->table].n_columns)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("table \"%s\" is of another version of smart_fhir_oauth",
					   store_tables[row->table].name),
				errhint("Run ALTER EXTENSION smart_fhir_oauth UPDATE."));
	row->tid = tuple->t_self;
	row->tuple = heap_copytuple(tuple);
	heap_deform_tuple(row->tuple, desc, row->values + 1, row->nulls + 1);
	/* out of the TOAST table now, while a snapshot holds what it refers to */
	for (int i = 0; i < desc->natts; i++)
		if (!row->nulls[i + 1] && TupleDescAttr(desc, i)->attlen == -1)
		{
			struct varlena *value = PG_DETOAST_DATUM(row->values[i + 1]);

			row->unpacked[i + 1] = PointerGetDatum(value) != row->values[i + 1];
			row->values[i + 1] = PointerGetDatum(value);
		}
}

void
store_free(StoreRow *row)
{
	/* values that were unpacked are allocations of their own */
	for (int i = 1; i <= STORE_MAX_COLUMNS; i++)
		if (row->unpacked[i])
			pfree(DatumGetPointer(row->values[i]));
	heap_freetuple(row->tuple);
	pfree(row);
}

static void
init_key(ScanKey scan_key, StoreIndex index, Datum key)
{
	const StoreIndexInfo *info = &store_indexes[index];

	ScanKeyEntryInitialize(scan_key,
						   0,
						   info->column,
						   BTEqualStrategyNumber,
						   InvalidOid,
						   info->equal == F_TEXTEQ ? C_COLLATION_OID : InvalidOid,
						   info->equal,
						   key);
}

StoreScan *
store_scan_begin(StoreIndex index, Datum key)
{
	const StoreIndexInfo *info = &store_indexes[index];
	StoreScan *scan = palloc(sizeof(StoreScan));
	ScanKeyData scan_key;

	scan->table = info->table;
	scan->rel = open_for_reading(info->table);
	if (info->column != 0)
		init_key(&scan_key, index, key);
	scan->scan = systable_beginscan(
		scan->rel, store_index_oid(index), true, NULL, info->column != 0 ? 1 : 0, &scan_key);
	return scan;
}

StoreRow *
store_scan_next(StoreScan *scan)
{
	HeapTuple tuple = systable_getnext(scan->scan);
	StoreRow *row;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	row = store_row(scan->table);
	read_tuple(row, tuple, RelationGetDescr(scan->rel));
	return row;
}

void
store_scan_end(StoreScan *scan)
{
	systable_endscan(scan->scan);
	table_close(scan->rel, AccessShareLock);
	pfree(scan);
}

StoreRow *
store_find(StoreIndex index, Datum key)
{
	StoreScan *scan = store_scan_begin(index, key);
	StoreRow *row = store_scan_next(scan);

	store_scan_end(scan);
	return row;
}

List *
store_find_all(StoreIndex index, Datum key)
{
	StoreScan *scan = store_scan_begin(index, key);
	List *rows = NIL;
	StoreRow *row;

	while ((row = store_scan_next(scan)) != NULL)
		rows = lappend(rows, row);
	store_scan_end(scan);
	return rows;
}

void
store_insert(StoreRow *row)
{
	Relation rel = open_for_writing(row->table);
	HeapTuple tuple = heap_form_tuple(RelationGetDescr(rel), row->values + 1, row->nulls + 1);

	CatalogTupleInsert(rel, tuple);
	row->tid = tuple->t_self;
	close_written(row->table, rel);
}

/*
 * As PostgreSQL does for deferred constraints: the row goes in first, and the unique index tells, under
 * the lock of its page, whether another of this key is there, or may be. Of two at once at least one
 * hears of the other.
 */
static bool
insert_unless_there(Relation rel, HeapTuple tuple)
{
	CatalogIndexState indexes = CatalogOpenIndexes(rel);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);
	Datum values[INDEX_MAX_KEYS];
	bool isnull[INDEX_MAX_KEYS];
	bool alone = true;

	simple_heap_insert(rel, tuple);
	ExecStoreHeapTuple(tuple, slot, false);
	for (int i = 0; i < indexes->ri_NumIndices && alone; i++)
	{
		Relation index = indexes->ri_IndexRelationDescs[i];
		IndexInfo *info = indexes->ri_IndexRelationInfo[i];
		bool unique = index->rd_index->indisunique;

		FormIndexDatum(info, slot, NULL, values, isnull);
		alone = index_insert(index,
							 values,
							 isnull,
							 &tuple->t_self,
							 rel,
							 unique ? UNIQUE_CHECK_PARTIAL : UNIQUE_CHECK_NO,
							 false,
							 info) ||
				!unique;
	}
	ExecDropSingleTupleTableSlot(slot);
	CatalogCloseIndexes(indexes);
	if (!alone)
	{
		CommandCounterIncrement();
		simple_heap_delete(rel, &tuple->t_self);
	}
	return alone;
}

/* Wait for whoever is about to insert a row of this key. False: there is one, for good. */
static bool
wait_for_none(Relation rel, StoreIndex index, Datum key)
{
	for (;;)
	{
		SnapshotData dirty;
		SysScanDesc scan;
		HeapTuple tuple;
		ItemPointerData tid;
		ScanKeyData scan_key;

		InitDirtySnapshot(dirty);
		init_key(&scan_key, index, key);
		scan = systable_beginscan(rel, store_index_oid(index), true, &dirty, 1, &scan_key);
		tuple = systable_getnext(scan);
		if (tuple != NULL)
			tid = tuple->t_self;
		systable_endscan(scan);
		if (tuple == NULL)
			return true;
		if (!TransactionIdIsValid(dirty.xmin))
			return false;
		XactLockTableWait(dirty.xmin, rel, &tid, XLTW_InsertIndex);
	}
}

bool
store_insert_new(StoreRow *row, StoreIndex index)
{
	Relation rel = open_for_writing(row->table);
	HeapTuple tuple = heap_form_tuple(RelationGetDescr(rel), row->values + 1, row->nulls + 1);
	bool inserted;

	do
		inserted = insert_unless_there(rel, tuple);
	while (!inserted && wait_for_none(rel, index, row->values[store_indexes[index].column]));
	close_written(row->table, rel);
	return inserted;
}

static bool
lock_row(StoreRow *row, LockWaitPolicy policy, uint8 flags)
{
	Relation rel = open_for_writing(row->table);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TM_FailureData failure;
	bool locked;

	locked = table_tuple_lock(rel,
							  &row->tid,
							  snapshot,
							  slot,
							  GetCurrentCommandId(true),
							  LockTupleExclusive,
							  policy,
							  flags,
							  &failure) == TM_Ok;
	if (locked)
	{
		bool should_free;
		HeapTuple tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);

		read_tuple(row, tuple, RelationGetDescr(rel));
		if (should_free)
			heap_freetuple(tuple);
	}
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	return locked;
}

bool
store_lock(StoreRow *row)
{
	return lock_row(row, LockWaitBlock, TUPLE_LOCK_FLAG_FIND_LAST_VERSION);
}

bool
store_try_lock(StoreRow *row)
{
	return lock_row(row, LockWaitSkip, 0);
}

void
store_update(StoreRow *row)
{
	Relation rel = open_for_writing(row->table);
	HeapTuple tuple = heap_form_tuple(RelationGetDescr(rel), row->values + 1, row->nulls + 1);

	tuple->t_self = row->tid;
	CatalogTupleUpdate(rel, &row->tid, tuple);
	row->tid = tuple->t_self;
	close_written(row->table, rel);
}

void
store_delete(StoreRow *row)
{
	Relation rel = open_for_writing(row->table);

	CatalogTupleDelete(rel, &row->tid);
	close_written(row->table, rel);
}

/*
 * Expired rows in the order of their time: from the beginning, or from where this backend has found none
 * any more. What was deleted since the last VACUUM has to be passed each time that it is from the beginning;
 * the longer that takes, the more seldom it is done.
 */
static SysScanDesc
begin_expired(Relation rel, StoreTable table, Snapshot snapshot, TimestampTz now)
{
	AttrNumber column = (AttrNumber) store_tables[table].expiry_column;
	ScanKeyData keys[2];

	/* a clock that was put back too */
	if (now >= swept[table].again || now < swept[table].until)
		swept[table].until = DT_NOBEGIN;
	ScanKeyEntryInitialize(&keys[0],
						   0,
						   column,
						   BTLessStrategyNumber,
						   InvalidOid,
						   InvalidOid,
						   F_TIMESTAMPTZ_LT,
						   TimestampTzGetDatum(now));
	ScanKeyEntryInitialize(&keys[1],
						   0,
						   column,
						   BTGreaterEqualStrategyNumber,
						   InvalidOid,
						   InvalidOid,
						   F_TIMESTAMPTZ_GE,
						   TimestampTzGetDatum(swept[table].until));
	return systable_beginscan(rel,
							  store_expiry_index_oid(table),
							  true,
							  snapshot,
							  swept[table].until == DT_NOBEGIN ? 1 : 2,
							  keys);
}

/* until: the time of the last row that was found, now if that were all. */
static void
end_expired(SysScanDesc scan, StoreTable table, TimestampTz began, TimestampTz until)
{
	systable_endscan(scan);
	if (swept[table].until == DT_NOBEGIN)
	{
		TimestampTz now = GetCurrentTimestamp();

		swept[table].again = now + Max(now - began, 0) * SWEEP_SHARE;
	}
	swept[table].until = until;
}

List *
store_expired(StoreTable table)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until = now;
	Relation rel = open_for_writing(table);
	SysScanDesc scan = begin_expired(rel, table, NULL, now);
	List *locked = NIL;

	for (int i = 0; i < CLEAN_LOOK && list_length(locked) < CLEAN_ROWS; i++)
	{
		HeapTuple tuple = systable_getnext(scan);
		StoreRow *row;

		if (tuple == NULL)
		{
			until = now;
			break;
		}
		row = store_row(table);
		read_tuple(row, tuple, RelationGetDescr(rel));
		until = store_time(row, store_tables[table].expiry_column);
		if (store_try_lock(row))
			locked = lappend(locked, row);
		else
			store_free(row);
	}
	end_expired(scan, table, now, until);
	table_close(rel, NoLock);
	return locked;
}

void
store_clean(StoreTable table)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until = now;
	Relation rel = open_for_writing(table);
	/* held until the rows are gone: nothing else takes their places */
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	SysScanDesc scan = begin_expired(rel, table, snapshot, now);
	int deleted = 0;

	for (int i = 0; i < CLEAN_LOOK && deleted < CLEAN_ROWS; i++)
	{
		HeapTuple tuple = systable_getnext(scan);
		TM_FailureData failure;
		bool isnull;

		if (tuple == NULL)
		{
			until = now;
			break;
		}
		until = DatumGetTimestampTz(
			heap_getattr(tuple, store_tables[table].expiry_column, RelationGetDescr(rel), &isnull));
		if (compat_table_tuple_delete(
				rel, &tuple->t_self, GetCurrentCommandId(true), snapshot, false, &failure) == TM_Ok)
			deleted++;
	}
	end_expired(scan, table, now, until);
	UnregisterSnapshot(snapshot);
	close_written(table, rel);
}

bool
store_cleans_now(void)
{
	return pg_prng_uint64_range(&pg_global_prng_state, 1, CLEAN_EVERY) == 1;
}

void
store_clean_sometimes(StoreTable table)
{
	if (store_cleans_now())
		store_clean(table);
}

char *
store_text(const StoreRow *row, int column)
{
	return row->nulls[column] ? NULL : TextDatumGetCString(row->values[column]);
}

bytea *
store_bytea(const StoreRow *row, int column)
{
	return row->nulls[column] ? NULL : DatumGetByteaPP(row->values[column]);
}

Jsonb *
store_jsonb(const StoreRow *row, int column)
{
	return row->nulls[column] ? NULL : DatumGetJsonbP(row->values[column]);
}

TimestampTz
store_time(const StoreRow *row, int column)
{
	return row->nulls[column] ? 0 : DatumGetTimestampTz(row->values[column]);
}

bool
store_bool(const StoreRow *row, int column)
{
	return !row->nulls[column] && DatumGetBool(row->values[column]);
}
