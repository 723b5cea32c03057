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
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/tidbitmap.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

#include "compat.h"
#include "fhir/tables.h"
#include "policy/policy.h"
#include "policy/stored.h"
#include "policy/stored_rows.h"

/* ---- the indexes ---- */

/* jsonb ->> text has no symbol in all versions (pg_operator.dat). */
#define JSONB_MEMBER_TEXT_OPERATOR 3477
/* The strategy of && in array_ops (ginarrayproc.c). */
#define GIN_OVERLAP_STRATEGY 1

/* A column that an id is a cast of, or 0. */
static AttrNumber
column_of(Node *node)
{
	for (;;)
	{
		if (IsA(node, RelabelType))
			node = (Node *) ((RelabelType *) node)->arg;
		else if (IsA(node, CoerceViaIO))
			node = (Node *) ((CoerceViaIO *) node)->arg;
		else
			break;
	}
	return IsA(node, Var) ? ((Var *) node)->varattno : 0;
}

/* resource ->> 'id'? */
static bool
is_member_id(Node *node, Node *resource)
{
	OpExpr *op = (OpExpr *) node;
	Const *name;

	if (!IsA(node, OpExpr) || op->opno != JSONB_MEMBER_TEXT_OPERATOR ||
		!equal(linitial(op->args), resource))
		return false;
	name = lsecond(op->args);
	return IsA(name, Const) && !name->constisnull && name->consttype == TEXTOID &&
		   strcmp(TextDatumGetCString(name->constvalue), "id") == 0;
}

static List *
index_expressions(Relation index)
{
	bool isnull;
	Datum stored =
		SysCacheGetAttr(INDEXRELID, index->rd_indextuple, Anum_pg_index_indexprs, &isnull);

	/* as stored: neither const-folded nor evaluated */
	return isnull ? NIL : (List *) stringToNode(TextDatumGetCString(stored));
}

/* Is the first key of a btree or hash index the id? */
static bool
is_id_index(Relation rel, Relation index, FuncExpr *call, StoredTable *table)
{
	Node *id = list_nth(call->args, POLICY_ID);
	Node *resource = list_nth(call->args, POLICY_RESOURCE);
	AttrNumber attnum = index->rd_index->indkey.values[0];
	Oid am = index->rd_rel->relam;
	Oid operator;

	if ((am != BTREE_AM_OID && am != HASH_AM_OID) || RelationGetIndexPredicate(index) != NIL)
		return false;
	if (attnum != 0)
	{
		if (attnum < 0 || IsA(id, Const) || column_of(id) != attnum)
			return false;
		table->id_type = getBaseType(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid);
		if (table->id_type == VARCHAROID)
			table->id_type = TEXTOID;
		if (table->id_type != TEXTOID && table->id_type != UUIDOID && table->id_type != INT2OID &&
			table->id_type != INT4OID && table->id_type != INT8OID)
			return false;
	}
	else
	{
		Node *key = linitial(index_expressions(index));

		if (IsA(id, Const) ? !is_member_id(key, resource) : !equal(key, id))
			return false;
		table->id_type = TEXTOID;
	}
	if (index->rd_opcintype[0] != table->id_type)
		return false;
	table->id_strategy = am == BTREE_AM_OID ? BTEqualStrategyNumber : HTEqualStrategyNumber;
	operator= get_opfamily_member(
		index->rd_opfamily[0], table->id_type, table->id_type, table->id_strategy);
	if (!OidIsValid(operator))
		return false;
	table->id_equal = get_opcode(operator);
	table->id_collation = index->rd_indcollation[0];
	return true;
}

/* Is it the index of smart_internal.followed_references() that this table needs? */
static bool
is_named_index(Relation index, FuncExpr *call, const StoredTable *table)
{
	FuncExpr *key;
	Const *path;
	Const *base_url;

	if (index->rd_rel->relam != GIN_AM_OID || index->rd_index->indkey.values[0] != 0 ||
		RelationGetIndexPredicate(index) != NIL)
		return false;
	key = linitial(index_expressions(index));
	if (!IsA(key, FuncExpr) || list_length(key->args) != 3 ||
		get_func_namespace(key->funcid) != get_func_namespace(call->funcid) ||
		strcmp(get_func_name(key->funcid), "followed_references") != 0 ||
		!equal(linitial(key->args), list_nth(call->args, POLICY_RESOURCE)))
		return false;
	path = lsecond(key->args);
	base_url = lthird(key->args);
	if (!IsA(path, Const) || path->constisnull || !IsA(base_url, Const) ||
		strcmp(TextDatumGetCString(path->constvalue), table->path) != 0)
		return false;
	if (base_url->constisnull || table->table.base_url.data == NULL)
		return base_url->constisnull && table->table.base_url.data == NULL;
	return strcmp(TextDatumGetCString(base_url->constvalue), table->table.base_url.data) == 0;
}

static void
find_indexes(Relation rel, FuncExpr *call, StoredTable *table)
{
	List *indexes = RelationGetIndexList(rel);
	ListCell *cell;

	foreach(cell, indexes)
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		if (index->rd_index->indisvalid)
		{
			/* one that is unique, if there are several */
			if ((!OidIsValid(table->id_index) || index->rd_index->indisunique) &&
				is_id_index(rel, index, call, table))
				table->id_index = RelationGetRelid(index);
			else if (table->path != NULL && is_named_index(index, call, table))
				table->named_index = RelationGetRelid(index);
		}
		index_close(index, NoLock);
	}
	list_free(indexes);
}

/* ---- a table ---- */

StoredTable *
stored_table(Relation rel)
{
	FuncExpr *call = policy_call_of(rel);
	StoredTable *table;
	Const *options;

	if (rel->rd_rel->relkind != RELKIND_RELATION)
		return NULL;
	if (call == NULL)
		call = policy_call_stored(RelationGetRelid(rel));
	if (call == NULL)
		return NULL;
	call = copyObject(call);
	options = list_nth(call->args, POLICY_OPTIONS);
	if (!IsA(options, Const) || options->constisnull)
		return NULL;
	table = palloc0(sizeof(StoredTable));
	table->relid = RelationGetRelid(rel);
	table->owner = rel->rd_rel->relowner;
	policy_options(DatumGetJsonbP(options->constvalue), &table->table);
	table->path = policy_option_text(DatumGetJsonbP(options->constvalue), "follow");
	if (table->path != NULL)
	{
		TupleDesc desc = RelationGetDescr(rel);

		for (int i = 0; i < desc->natts; i++)
		{
			Form_pg_attribute attribute = TupleDescAttr(desc, i);

			if (attribute->attisdropped ||
				strcmp(NameStr(attribute->attname), FOLLOWED_COLUMN) != 0)
				continue;
			if (attribute->atttypid != TEXTOID || attribute->attgenerated)
				ereport(ERROR,
						errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of table \"%s\" must be of type text",
							   FOLLOWED_COLUMN,
							   RelationGetRelationName(rel)));
			table->column = attribute->attnum;
		}
		if (table->column == 0)
			ereport(ERROR,
					errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("table \"%s\" has no column \"%s\"",
						   RelationGetRelationName(rel),
						   FOLLOWED_COLUMN),
					errhint("Run smart.protect() again."));
	}
	table->keys_type = getBaseType(exprType(list_nth(call->args, POLICY_PATIENTS)));
	table->econtext = CreateStandaloneExprContext();
	table->slot = MakeSingleTupleTableSlot(CreateTupleDescCopyConstr(RelationGetDescr(rel)),
										   table_slot_callbacks(rel));
	find_indexes(rel, call, table);
	for (int i = POLICY_PATIENTS; i <= POLICY_ID; i++)
		table->args[i] = ExecInitExpr(expression_planner(list_nth(call->args, i)), NULL);
	return table;
}

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
	visit(table, &row, TransactionIdIsValid(dirty->xmin), arg);
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
