/*
 * src/policy/stored_rows.c
 *		Rows of protected tables, found and changed where they lie. See stored_rows.h.
 *
 * Why no SQL: a query that is to see all rows of a table with FORCE ROW LEVEL SECURITY must be
 * planned without its policies, and functions that run meanwhile keep such plans; an UPDATE would
 * fire triggers; and the transaction's snapshot may be older than what the rows say now.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/gin.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/tidbitmap.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "compat.h"
#include "fhir/tables.h"
#include "policy/policy.h"
#include "policy/stored_rows.h"

/* ---- a row ---- */

static Datum
eval(StoredTable *table, int arg, bool *isnull)
{
	table->econtext->ecxt_scantuple = table->slot;
	return ExecEvalExpr(table->args[arg], table->econtext, isnull);
}

static FhirText
eval_text(StoredTable *table, int arg)
{
	bool isnull;
	Datum value = eval(table, arg, &isnull);
	text *given;

	if (isnull)
		return (FhirText){NULL, 0};
	given = DatumGetTextPP(value);
	return (FhirText){VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given)};
}

/*
 * Types outside the patient compartment say whose they are, if they do, in one of these (Device,
 * Task, GuidanceResponse, Contract).
 */
static void
add_named_patients(const FhirResource *resource, FhirKeys *keys)
{
	static const char *const elements[] = {"patient", "subject", "for"};
	JsonbValue value;
	JsonbValue member;
	FhirText key;

	for (size_t i = 0; i < lengthof(elements); i++)
		if (fhir_find(resource->json, elements[i], strlen(elements[i]), &value) &&
			fhir_member_literal(&value, "reference", &member) && member.type == jbvString &&
			fhir_reference_key((FhirText){member.val.string.val, member.val.string.len},
							   resource->base_url,
							   &key) &&
			keys->n < (int) lengthof(keys->fixed))
			keys->keys[keys->n++] = key;
}

void
stored_row_read(StoredTable *table, StoredRow *row)
{
	MemoryContext old;
	FhirText row_type;
	FhirText row_id;
	Datum value;
	bool isnull;

	ResetExprContext(table->econtext);
	old = MemoryContextSwitchTo(table->econtext->ecxt_per_tuple_memory);
	access_row_init(&row->patients);
	row->valid = false;
	row->agrees = false;
	value = eval(table, POLICY_RESOURCE, &isnull);
	row->json = isnull ? NULL : DatumGetJsonbP(value);
	if (row->json != NULL)
	{
		row_type = eval_text(table, POLICY_TYPE);
		row_id = eval_text(table, POLICY_ID);
		row->valid = fhir_resource_init(&row->resource,
										&row->json->root,
										table->table.version,
										row_type,
										row_id,
										table->table.base_url) &&
					 row->resource.type >= 0;
		row->agrees = row->valid && row->resource.id.data != NULL &&
					  (row_id.data == NULL || fhir_text_equals(row_id, row->resource.id));
	}
	if (row->valid && table->table.has_patients)
	{
		value = eval(table, POLICY_PATIENTS, &isnull);
		policy_keys(&row->patients, &table->table, value, isnull, table->keys_type);
	}
	else if (row->valid)
	{
		fhir_patients(&row->resource, FHIR_SUBJECT, &row->patients.patients);
		if (!fhir_type_in_compartment(table->table.version, row->resource.type))
			add_named_patients(&row->resource, &row->patients.patients);
	}
	MemoryContextSwitchTo(old);
}

void
stored_row_read_tuple(StoredTable *table, HeapTuple tuple, StoredRow *row)
{
	ExecForceStoreHeapTuple(tuple, table->slot, false);
	stored_row_read(table, row);
}

int
stored_row_named(StoredTable *table, const StoredRow *row, NamedRecord **named)
{
	int n = named_records(row->json, table->path, table->table.base_url, named);

	for (int i = 0; i < n; i++)
	{
		NamedRecord *one = &(*named)[i];

		if (one->type.data == NULL)
			continue;
		one->type.data = pnstrdup(one->type.data, one->type.len);
		one->id.data = pnstrdup(one->id.data, one->id.len);
	}
	return n;
}

const char *
stored_row_patient(StoredTable *table)
{
	bool isnull;
	Datum value = slot_getattr(table->slot, table->column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* ---- by id ---- */

/* An id as a key of the id's index; false when no stored one can be written so. */
static bool
id_key(const StoredTable *table, FhirText id, Datum *key)
{
	char *text = pnstrdup(id.data, id.len);
	bool digits;

	if (table->id_type == TEXTOID)
	{
		*key = CStringGetTextDatum(text);
		return true;
	}
	if (table->id_type == UUIDOID)
	{
		if (id.len != 36 || strspn(text, "0123456789abcdef-") != 36)
			return false;
		for (int i = 0; i < 36; i++)
			if ((text[i] == '-') != (i == 8 || i == 13 || i == 18 || i == 23))
				return false;
		*key = DirectFunctionCall1(uuid_in, CStringGetDatum(text));
		return true;
	}
	digits = id.len > 0 && id.len <= 18 &&
			 strspn(text + (text[0] == '-'), "0123456789") == strlen(text + (text[0] == '-'));
	if (!digits || strcmp(text, "-") == 0)
		return false;
	{
		int64 value = DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(text)));

		if (table->id_type == INT8OID)
			*key = Int64GetDatum(value);
		else if (table->id_type == INT4OID && value >= PG_INT32_MIN && value <= PG_INT32_MAX)
			*key = Int32GetDatum((int32) value);
		else if (table->id_type == INT2OID && value >= PG_INT16_MIN && value <= PG_INT16_MAX)
			*key = Int16GetDatum((int16) value);
		else
			return false;
	}
	return true;
}

/* The row in the slot, if it has this type and id. */
static bool
visit_row(StoredTable *table, const SnapshotData *dirty, FhirText type, FhirText id,
		  StoredVisit visit, void *arg)
{
	StoredRow row;

	stored_row_read(table, &row);
	if (!row.valid || !row.agrees || !fhir_text_equals(row.resource.type_name, type) ||
		!fhir_text_equals(row.resource.id, id))
		return false;
	visit(table, &row, TransactionIdIsValid(dirty->xmin), TransactionIdIsValid(dirty->xmax), arg);
	return true;
}

void
stored_rows_by_id(StoredTable *table, Relation rel, FhirText type, FhirText id, StoredVisit visit,
				  void *arg)
{
	SnapshotData dirty;
	ScanKeyData key;
	Datum value;
	bool found = false;

	InitDirtySnapshot(dirty);
	if (!OidIsValid(table->id_index))
	{
		TableScanDesc scan = compat_table_beginscan(rel, &dirty);

		while (table_scan_getnextslot(scan, ForwardScanDirection, table->slot))
		{
			CHECK_FOR_INTERRUPTS();
			(void) visit_row(table, &dirty, type, id, visit, arg);
		}
		table_endscan(scan);
		ExecClearTuple(table->slot);
		return;
	}
	if (!id_key(table, id, &value))
		return;
	ScanKeyEntryInitialize(
		&key, 0, 1, table->id_strategy, InvalidOid, table->id_collation, table->id_equal, value);
	/* a version that was put in its place behind the scan can be missed: look again once */
	for (int attempt = 0; attempt < 2 && !found; attempt++)
	{
		Relation index = index_open(table->id_index, AccessShareLock);
		IndexScanDesc scan = compat_index_beginscan(rel, index, &dirty, 1, 0);

		index_rescan(scan, &key, 1, NULL, 0);
		while (index_getnext_slot(scan, ForwardScanDirection, table->slot))
			found |= visit_row(table, &dirty, type, id, visit, arg);
		index_endscan(scan);
		index_close(index, NoLock);
	}
	ExecClearTuple(table->slot);
}

/* ---- by what rows name ---- */

/* The strategy of && in array_ops (ginarrayproc.c). */
#define GIN_OVERLAP_STRATEGY 1

static void
add_tid(ItemPointerData **tids, int *n, int *capacity, BlockNumber block, OffsetNumber offset)
{
	if (*n == *capacity)
	{
		*capacity *= 2;
		*tids = repalloc_huge(*tids, sizeof(ItemPointerData) * *capacity);
	}
	ItemPointerSet(&(*tids)[*n], block, offset);
	(*n)++;
}

ItemPointerData *
stored_rows_naming(StoredTable *table, Relation rel, const char *reference, int *n)
{
	int capacity = 16;
	ItemPointerData *tids = palloc(sizeof(ItemPointerData) * capacity);
	SnapshotData dirty;

	*n = 0;
	InitDirtySnapshot(dirty);
	if (OidIsValid(table->named_index))
	{
		Relation index = index_open(table->named_index, AccessShareLock);
		TIDBitmap *bitmap = tbm_create((Size) work_mem * 1024, NULL);
		IndexScanDesc scan = compat_index_beginscan_bitmap(index, &dirty, 1);
		Datum elements[] = {CStringGetTextDatum(reference)};
		OffsetNumber offsets[COMPAT_TBM_MAX_OFFSETS];
		CompatTBMIterator iterator;
		BlockNumber block;
		ScanKeyData key;
		int n_offsets;

		ScanKeyEntryInitialize(
			&key,
			0,
			1,
			GIN_OVERLAP_STRATEGY,
			InvalidOid,
			index->rd_indcollation[0],
			F_ARRAYOVERLAP,
			PointerGetDatum(construct_array(elements, 1, TEXTOID, -1, false, TYPALIGN_INT)));
		index_rescan(scan, &key, 1, NULL, 0);
		(void) index_getbitmap(scan, bitmap);
		index_endscan(scan);
		compat_tbm_begin(&iterator, bitmap);
		while (compat_tbm_next(&iterator, &block, offsets, &n_offsets))
		{
			if (n_offsets < 0)
				for (int i = FirstOffsetNumber; i <= MaxHeapTuplesPerPage; i++)
					add_tid(&tids, n, &capacity, block, (OffsetNumber) i);
			for (int i = 0; i < n_offsets; i++)
				add_tid(&tids, n, &capacity, block, offsets[i]);
		}
		compat_tbm_end(&iterator);
		tbm_free(bitmap);
		index_close(index, NoLock);
	}
	else
	{
		TableScanDesc scan = compat_table_beginscan(rel, &dirty);

		while (table_scan_getnextslot(scan, ForwardScanDirection, table->slot))
		{
			CHECK_FOR_INTERRUPTS();
			add_tid(&tids,
					n,
					&capacity,
					ItemPointerGetBlockNumber(&table->slot->tts_tid),
					ItemPointerGetOffsetNumber(&table->slot->tts_tid));
		}
		table_endscan(scan);
		ExecClearTuple(table->slot);
	}
	return tids;
}

bool
stored_row_fetch(StoredTable *table, Relation rel, ItemPointer tid, TransactionId *inserter)
{
	IndexFetchTableData *fetch = compat_table_index_fetch_begin(rel);
	SnapshotData dirty;
	bool again = false;
	bool found;

	InitDirtySnapshot(dirty);
	/* an index knows the start of a chain of versions, a scan of the table each of them */
	found = table_index_fetch_tuple(fetch, tid, &dirty, table->slot, &again, NULL) ||
			table_tuple_fetch_row_version(rel, tid, &dirty, table->slot);
	if (found)
	{
		ItemPointerCopy(&table->slot->tts_tid, tid);
		ExecMaterializeSlot(table->slot);
	}
	table_index_fetch_end(fetch);
	*inserter = found ? dirty.xmin : InvalidTransactionId;
	return found;
}

TM_Result
stored_row_lock(StoredTable *table, Relation rel, ItemPointer tid)
{
	Snapshot latest = RegisterSnapshot(GetLatestSnapshot());
	TM_FailureData failure;
	TM_Result result = table_tuple_lock(rel,
										tid,
										latest,
										table->slot,
										GetCurrentCommandId(true),
										LockTupleNoKeyExclusive,
										LockWaitBlock,
										0,
										&failure);

	UnregisterSnapshot(latest);
	return result;
}

void
stored_row_set_patient(StoredTable *table, Relation rel, const char *patient)
{
	EState *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	TupleTableSlot *changed;
	int at = table->column - 1;

	InitResultRelInfo(target, rel, 0, NULL, 0);
	/* the column is ours alone: no trigger is asked */
	target->ri_TrigDesc = NULL;
	estate->es_snapshot = GetActiveSnapshot();
	ExecOpenIndices(target, false);
	changed = ExecInitExtraTupleSlot(estate, RelationGetDescr(rel), &TTSOpsVirtual);
	slot_getallattrs(table->slot);
	memcpy(
		changed->tts_values, table->slot->tts_values, sizeof(Datum) * RelationGetDescr(rel)->natts);
	memcpy(
		changed->tts_isnull, table->slot->tts_isnull, sizeof(bool) * RelationGetDescr(rel)->natts);
	changed->tts_isnull[at] = patient == NULL;
	changed->tts_values[at] = patient == NULL ? (Datum) 0 : CStringGetTextDatum(patient);
	ExecStoreVirtualTuple(changed);
	ExecSimpleRelationUpdate(target, estate, NULL, table->slot, changed);
	ExecCloseIndices(target);
	if (!table_tuple_fetch_row_version(rel, &changed->tts_tid, SnapshotAny, table->slot))
		elog(ERROR, "could not read a row that was just written");
	ExecResetTupleTable(estate->es_tupleTable, false);
	FreeExecutorState(estate);
	CommandCounterIncrement();
}
