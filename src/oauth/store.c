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
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "common/pg_prng.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "oauth/store.h"

/* Expired rows that one call deletes, of the calls that do. */
#define CLEAN_EVERY 8
#define CLEAN_ROWS 32

typedef struct TableInfo
{
	const char *name;
	int n_columns;
	const char *expiry_index; /* NULL: rows do not expire */
	int expiry_column;
} TableInfo;

static const TableInfo tables[STORE_N_TABLES] = {
	[STORE_CONFIGURATION] = {"oauth_configuration", CONFIGURATION_OPTIONS, NULL, 0},
	[STORE_SIGNING_KEY] = {"oauth_signing_key", SIGNING_KEY_RETIRED_AT, NULL, 0},
	[STORE_CLIENT] = {"oauth_client", CLIENT_EXPIRES_AT, "oauth_client_expires", CLIENT_EXPIRES_AT},
	[STORE_CLIENT_EVENT] = {"oauth_client_event", CLIENT_EVENT_GRANT_ID, NULL, 0},
	[STORE_CLIENT_SECRET] = {"oauth_client_secret",
							 CLIENT_SECRET_EXPIRES_AT,
							 "oauth_client_secret_expires",
							 CLIENT_SECRET_EXPIRES_AT},
	[STORE_LAUNCH] = {"oauth_launch", LAUNCH_EXPIRES_AT, "oauth_launch_expires", LAUNCH_EXPIRES_AT},
	[STORE_GRANT] = {"oauth_grant", GRANT_EXPIRES_AT, "oauth_grant_expires", GRANT_EXPIRES_AT},
	[STORE_GRANT_END] = {"oauth_grant_end",
						 GRANT_END_EXPIRES_AT,
						 "oauth_grant_end_expires",
						 GRANT_END_EXPIRES_AT},
	[STORE_ENDING] = {"oauth_ending", ENDING_EXPIRES_AT, "oauth_ending_expires", ENDING_EXPIRES_AT},
	[STORE_CODE] = {"oauth_code", CODE_KEPT_UNTIL, "oauth_code_kept", CODE_KEPT_UNTIL},
	[STORE_REFRESH_TOKEN] = {"oauth_refresh_token",
							 REFRESH_TOKEN_USED_AT,
							 "oauth_refresh_token_expires",
							 REFRESH_TOKEN_EXPIRES_AT},
	[STORE_JTI] = {"oauth_jti", JTI_EXPIRES_AT, "oauth_jti_expires", JTI_EXPIRES_AT},
	[STORE_RECEIPT] = {"oauth_receipt",
					   RECEIPT_EXPIRES_AT,
					   "oauth_receipt_expires",
					   RECEIPT_EXPIRES_AT},
	[STORE_FAILURE] = {"oauth_failure", FAILURE_FAILURES, NULL, 0},
	[STORE_REGISTRATION_TOKEN] = {"oauth_registration_token",
								  REGISTRATION_TOKEN_EXPIRES_AT,
								  "oauth_registration_token_expires",
								  REGISTRATION_TOKEN_EXPIRES_AT},
	[STORE_CDS_CLIENT] = {"oauth_cds_client", CDS_CLIENT_TENANTS, NULL, 0},
	[STORE_DEVICE_CODE] = {"oauth_device_code",
						   DEVICE_CODE_KEPT_UNTIL,
						   "oauth_device_code_kept",
						   DEVICE_CODE_KEPT_UNTIL},
	[STORE_GUESS] = {"oauth_guess", GUESS_UNUSED, NULL, 0},
};

typedef struct IndexInfoEntry
{
	StoreTable table;
	const char *name;
	int column; /* 0: all rows, no key */
	RegProcedure equal;
} IndexInfoEntry;

static const IndexInfoEntry indexes[STORE_N_INDEXES] = {
	[STORE_CONFIGURATION_ALL] = {STORE_CONFIGURATION, "oauth_configuration_pkey", 0, 0},
	[STORE_SIGNING_KEY_ALL] = {STORE_SIGNING_KEY, "oauth_signing_key_pkey", 0, 0},
	[STORE_SIGNING_KEY_BY_KID] = {STORE_SIGNING_KEY,
								  "oauth_signing_key_pkey",
								  SIGNING_KEY_KID,
								  F_TEXTEQ},
	[STORE_CLIENT_BY_ID] = {STORE_CLIENT, "oauth_client_pkey", CLIENT_CLIENT_ID, F_TEXTEQ},
	[STORE_CLIENT_EVENT_BY_CLIENT] = {STORE_CLIENT_EVENT,
									  "oauth_client_event_client",
									  CLIENT_EVENT_CLIENT_ID,
									  F_TEXTEQ},
	[STORE_CLIENT_SECRET_BY_CLIENT] = {STORE_CLIENT_SECRET,
									   "oauth_client_secret_client",
									   CLIENT_SECRET_CLIENT_ID,
									   F_TEXTEQ},
	[STORE_LAUNCH_BY_HASH] = {STORE_LAUNCH, "oauth_launch_pkey", LAUNCH_HASH, F_BYTEAEQ},
	[STORE_LAUNCH_ALL] = {STORE_LAUNCH, "oauth_launch_pkey", 0, 0},
	[STORE_GRANT_BY_ID] = {STORE_GRANT, "oauth_grant_pkey", GRANT_GRANT_ID, F_TEXTEQ},
	[STORE_GRANT_BY_SUB] = {STORE_GRANT, "oauth_grant_sub", GRANT_SUB, F_TEXTEQ},
	[STORE_GRANT_BY_CLIENT] = {STORE_GRANT, "oauth_grant_client", GRANT_CLIENT_ID, F_TEXTEQ},
	[STORE_GRANT_ALL] = {STORE_GRANT, "oauth_grant_pkey", 0, 0},
	[STORE_GRANT_END_BY_GRANT] = {STORE_GRANT_END,
								  "oauth_grant_end_grant",
								  GRANT_END_GRANT_ID,
								  F_TEXTEQ},
	[STORE_ENDING_BY_SUB] = {STORE_ENDING, "oauth_ending_sub", ENDING_SUB, F_TEXTEQ},
	[STORE_CODE_BY_HASH] = {STORE_CODE, "oauth_code_pkey", CODE_HASH, F_BYTEAEQ},
	[STORE_CODE_BY_GRANT] = {STORE_CODE, "oauth_code_grant", CODE_GRANT_ID, F_TEXTEQ},
	[STORE_CODE_ALL] = {STORE_CODE, "oauth_code_pkey", 0, 0},
	[STORE_REFRESH_TOKEN_BY_HASH] = {STORE_REFRESH_TOKEN,
									 "oauth_refresh_token_pkey",
									 REFRESH_TOKEN_HASH,
									 F_BYTEAEQ},
	[STORE_REFRESH_TOKEN_BY_GRANT] = {STORE_REFRESH_TOKEN,
									  "oauth_refresh_token_grant",
									  REFRESH_TOKEN_GRANT_ID,
									  F_TEXTEQ},
	[STORE_JTI_BY_HASH] = {STORE_JTI, "oauth_jti_pkey", JTI_HASH, F_BYTEAEQ},
	[STORE_RECEIPT_BY_HASH] = {STORE_RECEIPT, "oauth_receipt_pkey", RECEIPT_HASH, F_BYTEAEQ},
	[STORE_RECEIPT_ALL] = {STORE_RECEIPT, "oauth_receipt_pkey", 0, 0},
	[STORE_FAILURE_BY_SLOT] = {STORE_FAILURE, "oauth_failure_pkey", FAILURE_SLOT, F_INT4EQ},
	[STORE_REGISTRATION_TOKEN_BY_HASH] = {STORE_REGISTRATION_TOKEN,
										  "oauth_registration_token_pkey",
										  REGISTRATION_TOKEN_HASH,
										  F_BYTEAEQ},
	[STORE_CDS_CLIENT_BY_ISS] = {STORE_CDS_CLIENT,
								 "oauth_cds_client_pkey",
								 CDS_CLIENT_ISS,
								 F_TEXTEQ},
	[STORE_DEVICE_CODE_BY_HASH] = {STORE_DEVICE_CODE,
								   "oauth_device_code_pkey",
								   DEVICE_CODE_HASH,
								   F_BYTEAEQ},
	[STORE_DEVICE_CODE_BY_USER_CODE] = {STORE_DEVICE_CODE,
										"oauth_device_code_user_code",
										DEVICE_CODE_USER_CODE,
										F_BYTEAEQ},
};

struct StoreScan
{
	StoreTable table;
	Relation rel;
	SysScanDesc scan;
};

/* smart_internal belongs to the extensions' owner: nobody else can make a table of this name. */
static Oid
find_relation(const char *name)
{
	Oid schema = get_namespace_oid("smart_internal", true);
	Oid relation = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;

	if (!OidIsValid(relation))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("extension \"smart_fhir_oauth\" is not installed in this database"),
				errhint("Run CREATE EXTENSION smart_fhir_oauth."));
	return relation;
}

Oid
store_table_oid(StoreTable table)
{
	return find_relation(tables[table].name);
}

static Relation
open_for_reading(StoreTable table)
{
	return table_open(store_table_oid(table), AccessShareLock);
}

/* The lock stays until the transaction ends. */
static Relation
open_for_writing(StoreTable table)
{
	PreventCommandIfReadOnly("writing to the authorization server's tables");
	PreventCommandIfParallelMode("writing to the authorization server's tables");
	return table_open(store_table_oid(table), RowExclusiveLock);
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
	if (desc->natts != tables[row->table].n_columns)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("table \"%s\" is of another version of smart_fhir_oauth",
					   tables[row->table].name),
				errhint("Run ALTER EXTENSION smart_fhir_oauth UPDATE."));
	row->tid = tuple->t_self;
	row->xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
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

StoreScan *
store_scan_begin(StoreIndex index, Datum key)
{
	const IndexInfoEntry *info = &indexes[index];
	StoreScan *scan = palloc(sizeof(StoreScan));
	ScanKeyData scan_key;

	scan->table = info->table;
	scan->rel = open_for_reading(info->table);
	if (info->column != 0)
		ScanKeyEntryInitialize(&scan_key,
							   0,
							   info->column,
							   BTEqualStrategyNumber,
							   InvalidOid,
							   info->equal == F_TEXTEQ ? C_COLLATION_OID : InvalidOid,
							   info->equal,
							   key);
	scan->scan = systable_beginscan(
		scan->rel, find_relation(info->name), true, NULL, info->column != 0 ? 1 : 0, &scan_key);
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
	table_close(rel, NoLock);
	CommandCounterIncrement();
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
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

void
store_delete(StoreRow *row)
{
	Relation rel = open_for_writing(row->table);

	CatalogTupleDelete(rel, &row->tid);
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

List *
store_expired(StoreTable table, int max)
{
	const TableInfo *info = &tables[table];
	Relation rel = open_for_reading(table);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	List *found = NIL;
	List *locked = NIL;
	ListCell *cell;

	ScanKeyEntryInitialize(&key,
						   0,
						   info->expiry_column,
						   BTLessStrategyNumber,
						   InvalidOid,
						   InvalidOid,
						   F_TIMESTAMPTZ_LT,
						   TimestampTzGetDatum(GetCurrentTimestamp()));
	scan = systable_beginscan(rel, find_relation(info->expiry_index), true, NULL, 1, &key);
	while (list_length(found) < max && (tuple = systable_getnext(scan)) != NULL)
	{
		StoreRow *row = store_row(table);

		read_tuple(row, tuple, RelationGetDescr(rel));
		found = lappend(found, row);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	foreach(cell, found)
		if (store_try_lock(lfirst(cell)))
			locked = lappend(locked, lfirst(cell));
	return locked;
}

void
store_clean(StoreTable table, int max)
{
	List *rows = store_expired(table, max);
	ListCell *cell;

	foreach(cell, rows)
		store_delete(lfirst(cell));
}

void
store_clean_sometimes(StoreTable table)
{
	if (pg_prng_uint64_range(&pg_global_prng_state, 1, CLEAN_EVERY) == 1)
		store_clean(table, CLEAN_ROWS);
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
