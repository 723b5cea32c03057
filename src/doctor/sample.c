/*
 * src/doctor/sample.c
 *		smart_internal.sample_resource(): do the first rows of a table look like FHIR resources?
 *
 * Reads the heap of a plain table itself: no policy, rule, index or expression of the table is
 * run, and the lock on it is had at once or not at all. Only json, jsonb and text columns are
 * looked at, a few pages and values of moderate size.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "fhir/fhir.h"

PG_FUNCTION_INFO_V1(smart_sample_resource);
/* src/fhir/fhir.c: a text as jsonb, NULL when it is not JSON or has a member twice */
extern Datum smart_resource_json(PG_FUNCTION_ARGS);

#define SAMPLE_ROWS 20
#define SAMPLE_PAGES 4
#define SAMPLE_VALUE_BYTES (256 * 1024)

/* The type that a value says it is, in any FHIR version, or NULL; has_id: has it an id too? */
static const char *
type_of(Jsonb *resource, bool *has_id)
{
	static const FhirVersion versions[] = {FHIR_R4, FHIR_R4B, FHIR_R5};
	JsonbValue *type;
	JsonbValue *id;

	if (!JB_ROOT_IS_OBJECT(resource))
		return NULL;
	type =
		getKeyJsonValueFromContainer(&resource->root, "resourceType", strlen("resourceType"), NULL);
	if (type == NULL || type->type != jbvString)
		return NULL;
	id = getKeyJsonValueFromContainer(&resource->root, "id", strlen("id"), NULL);
	*has_id = id != NULL && id->type == jbvString;
	for (size_t i = 0; i < lengthof(versions); i++)
	{
		int known = fhir_type_lookup(versions[i], type->val.string.val, type->val.string.len);

		if (known >= 0)
			return fhir_type_name(versions[i], known);
	}
	return NULL;
}

/* One value of a column as jsonb, or NULL. */
static Jsonb *
as_json(Oid type, Datum value)
{
	struct varlena *raw = (struct varlena *) DatumGetPointer(value);

	if (toast_raw_datum_size(value) > SAMPLE_VALUE_BYTES)
		return NULL;
	if (type == JSONBOID)
		return DatumGetJsonbP(value);
	{
		LOCAL_FCINFO(call, 1);

		InitFunctionCallInfoData(*call, NULL, 1, InvalidOid, NULL, NULL);
		call->args[0].value = PointerGetDatum(pg_detoast_datum_packed(raw));
		call->args[0].isnull = false;
		value = smart_resource_json(call);
		return call->isnull ? NULL : DatumGetJsonbP(value);
	}
}

Datum
smart_sample_resource(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	TupleDesc desc;
	Datum values[4] = {0};
	bool nulls[4] = {false, true, true, true};
	Relation rel = NULL;
	HeapTuple class_tuple;
	bool plain;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "smart_internal.sample_resource() has an unexpected result type");
	/* the kind first, from the catalog: a lock is asked for on plain tables alone */
	class_tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	plain = HeapTupleIsValid(class_tuple) &&
			((Form_pg_class) GETSTRUCT(class_tuple))->relkind == RELKIND_RELATION &&
			((Form_pg_class) GETSTRUCT(class_tuple))->relpersistence != RELPERSISTENCE_TEMP &&
			((Form_pg_class) GETSTRUCT(class_tuple))->relam == HEAP_TABLE_AM_OID;
	if (HeapTupleIsValid(class_tuple))
		ReleaseSysCache(class_tuple);
	if (plain && ConditionalLockRelationOid(relid, AccessShareLock))
	{
		rel = try_table_open(relid, NoLock);
		if (rel == NULL)
			UnlockRelationOid(relid, AccessShareLock);
	}
	values[0] = BoolGetDatum(!plain || rel != NULL);
	if (rel != NULL)
	{
		TupleDesc columns = RelationGetDescr(rel);
		TupleTableSlot *slot = table_slot_create(rel, NULL);
		TableScanDesc scan = table_beginscan_strat(rel, GetActiveSnapshot(), 0, NULL, true, false);

		heap_setscanlimits(scan, 0, Min(SAMPLE_PAGES, RelationGetNumberOfBlocks(rel)));
		for (int row = 0; row < SAMPLE_ROWS && nulls[2] && RelationGetNumberOfBlocks(rel) > 0;
			 row++)
		{
			CHECK_FOR_INTERRUPTS();
			if (!table_scan_getnextslot(scan, ForwardScanDirection, slot))
				break;
			slot_getallattrs(slot);
			for (int i = 0; i < columns->natts && nulls[2]; i++)
			{
				Form_pg_attribute column = TupleDescAttr(columns, i);
				bool has_id = false;
				const char *type;
				Jsonb *resource;

				if (column->attisdropped || slot->tts_isnull[i] ||
					(column->atttypid != JSONBOID && column->atttypid != JSONOID &&
					 column->atttypid != TEXTOID))
					continue;
				resource = as_json(column->atttypid, slot->tts_values[i]);
				type = resource ? type_of(resource, &has_id) : NULL;
				if (type == NULL)
					continue;
				values[1] = Int16GetDatum(i + 1);
				values[2] = CStringGetTextDatum(type);
				values[3] = BoolGetDatum(has_id);
				nulls[1] = nulls[2] = nulls[3] = false;
			}
		}
		table_endscan(scan);
		ExecDropSingleTupleTableSlot(slot);
		/* nothing of the table is needed any more: a DROP TABLE need not wait for our caller */
		table_close(rel, AccessShareLock);
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
