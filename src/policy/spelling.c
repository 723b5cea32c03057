/*
 * src/policy/spelling.c
 *		Keeping the stored keys of a table in one spelling. See spelling.h.
 *
 * A key in the other spelling is as good as its neighbours, but a folded policy cannot rely on it: one
 * such row, a patient's own, has every session's queries on the table asked row by row. So a table whose
 * keys stand in a text column of its own has a trigger: what somebody bound by the policies writes is
 * stored as the table spells its keys. Only where rows show that it does: an empty table is taken
 * for bare ids without any proof, and whoever stores references there wants to find them again.
 * Other roles' rows stay as they were written.
 *
 * The trigger evaluates nothing, and calls no function that is not PostgreSQL's or ours. It has no WHEN:
 * PostgreSQL reads that anew for each statement, which costs more than the call.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/dependency.h"
#include "catalog/partition.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "policy/call.h"
#include "policy/options.h"
#include "policy/owner.h"
#include "policy/spelling.h"
#include "policy/stored.h"

PG_FUNCTION_INFO_V1(smart_spell_key);
PG_FUNCTION_INFO_V1(smart_put_key_trigger);

#define TRIGGER_NAME "smart_spell_key"

/* How many rows are looked at for a key, in a table and the partitions beside it. */
#define MAX_LOOKED_AT 100

bool
spelling_id(FhirText key, FhirText *id, bool *reference)
{
	static const char prefix[] = "Patient/";
	int len = (int) strlen(prefix);

	*id = key;
	*reference = key.len > len && memcmp(key.data, prefix, len) == 0;
	if (*reference)
	{
		id->data += len;
		id->len -= len;
	}
	return fhir_id_is_valid(id->data, id->len);
}

static FhirText
text_of(text *value)
{
	FhirText result = {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};

	return result;
}

/* ---- the trigger ---- */

/* Is one of the first keys of a table spelled so? *left: rows that may be looked at. */
static bool
shows_spelling(Relation rel, AttrNumber column, bool references, int *left)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = compat_table_beginscan(rel, snapshot);
	bool shown = false;

	while (!shown && *left > 0 && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool isnull;
		Datum value = slot_getattr(slot, column, &isnull);
		FhirText id;
		bool reference;

		(*left)--;
		shown = !isnull && spelling_id(text_of(DatumGetTextPP(value)), &id, &reference) &&
				reference == references;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	return shown;
}

static bool
is_text(Relation rel, AttrNumber column)
{
	Oid type = getBaseType(TupleDescAttr(RelationGetDescr(rel), column - 1)->atttypid);

	return type == TEXTOID || type == VARCHAROID;
}

/* The same of a table by its OID, unless somebody has locked it; the column by its name. */
static bool
other_shows_spelling(Oid relid, const char *column, bool references, int *left)
{
	Relation rel;
	AttrNumber number = get_attnum(relid, column);
	bool shown;

	/* an empty one counts as a row */
	(*left)--;
	if (get_rel_relkind(relid) != RELKIND_RELATION || number == InvalidAttrNumber ||
		!ConditionalLockRelationOid(relid, AccessShareLock))
		return false;
	rel = table_open(relid, NoLock);
	/* what it was before it was locked counts no more */
	number = get_attnum(relid, column);
	shown = number != InvalidAttrNumber && is_text(rel, number) &&
			shows_spelling(rel, number, references, left);
	table_close(rel, AccessShareLock);
	return shown;
}

/* Do rows of the table, or of the partitions beside it, show that keys are spelled so? */
static bool
is_spelled_so(Relation rel, AttrNumber column, bool references)
{
	char *name = NameStr(TupleDescAttr(RelationGetDescr(rel), column - 1)->attname);
	int left = MAX_LOOKED_AT;
	ListCell *cell;

	if (shows_spelling(rel, column, references, &left))
		return true;
	if (!rel->rd_rel->relispartition)
		return false;
	foreach(cell,
			find_all_inheritors(
				llast_oid(get_partition_ancestors(RelationGetRelid(rel))), NoLock, NULL))
		if (left > 0 && lfirst_oid(cell) != RelationGetRelid(rel) &&
			other_shows_spelling(lfirst_oid(cell), name, references, &left))
			return true;
	return false;
}

/* The same, asked once a statement. */
static bool
is_known_so(FmgrInfo *flinfo, Relation rel, AttrNumber column, bool references)
{
	static const bool answers[] = {false, true};

	if (flinfo->fn_extra == NULL)
		flinfo->fn_extra =
			unconstify(bool *, &answers[is_spelled_so(rel, column, references) ? 1 : 0]);
	return *(bool *) flinfo->fn_extra;
}

/* A row cannot change its partition here. */
static void
check_partition_key(Relation rel, AttrNumber column, bool references)
{
	Bitmapset *columns = NULL;

	if (!rel->rd_rel->relispartition)
		return;
	pull_varattnos((Node *) RelationGetPartitionQual(rel), 1, &columns);
	if (bms_is_member(column - FirstLowInvalidHeapAttributeNumber, columns))
		ereport(
			ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("key in column \"%s\" is spelled otherwise than in the rest of the table",
				   NameStr(TupleDescAttr(RelationGetDescr(rel), column - 1)->attname)),
			errdetail("The column is part of the partition key, so it is stored as it is given."),
			references ? errhint("Spell it Patient/<id>.") : errhint("Give the bare id."),
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "invalid_parameter"));
}

/* A text as a value of the column: of its length, and of its domain. */
static Datum
as_column_value(char *key, Form_pg_attribute column)
{
	int32 typmod = column->atttypmod;
	Oid type = getBaseTypeAndTypmod(column->atttypid, &typmod);
	Datum value = CStringGetTextDatum(key);

	if (type == VARCHAROID && typmod >= (int32) VARHDRSZ &&
		pg_mbstrlen(key) > typmod - (int32) VARHDRSZ)
		ereport(ERROR,
				errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				errmsg("value too long for type character varying(%d)", typmod - (int) VARHDRSZ));
	if (type != column->atttypid)
		domain_check(value, false, column->atttypid, NULL, NULL);
	return value;
}

/* Raises 39P01 unless the trigger is as smart_put_key_trigger() makes it. */
static AttrNumber
column_of_trigger(FunctionCallInfo fcinfo)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	AttrNumber column;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(data->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(data->tg_event) || TRIGGER_FIRED_BY_DELETE(data->tg_event) ||
		data->tg_trigger->tgnattr != 1 || data->tg_trigger->tgnargs != 1)
		ereport(
			ERROR,
			errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			errmsg("smart_internal.spell_key() must be called by a trigger of smart.protect()"));
	column = data->tg_trigger->tgattr[0];
	switch (getBaseType(TupleDescAttr(RelationGetDescr(data->tg_relation), column - 1)->atttypid))
	{
		case TEXTOID:
		case VARCHAROID:
			return column;
		default:
			ereport(ERROR,
					errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("column \"%s\" is no text any more",
						   get_attname(RelationGetRelid(data->tg_relation), column, false)),
					errhint("Run smart.protect() on the table again."));
	}
}

/* smart_internal.spell_key() -> trigger. Argument: id or reference. */
Datum
smart_spell_key(PG_FUNCTION_ARGS)
{
	AttrNumber number = column_of_trigger(fcinfo);
	TriggerData *data = (TriggerData *) fcinfo->context;
	Relation rel = data->tg_relation;
	HeapTuple tuple =
		TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple;
	bool references = strcmp(data->tg_trigger->tgargs[0], "reference") == 0;
	int column = number;
	bool isnull;
	Datum value = heap_getattr(tuple, number, RelationGetDescr(rel), &isnull);
	FhirText id;
	bool reference;
	char *key;

	if (isnull || !spelling_id(text_of(DatumGetTextPP(value)), &id, &reference) ||
		reference == references ||
		check_enable_rls(RelationGetRelid(rel), InvalidOid, true) != RLS_ENABLED ||
		!is_known_so(fcinfo->flinfo, rel, number, references))
		return PointerGetDatum(tuple);
	check_partition_key(rel, number, references);
	key = psprintf("%s%.*s", references ? "Patient/" : "", id.len, id.data);
	value = as_column_value(key, TupleDescAttr(RelationGetDescr(rel), number - 1));
	return PointerGetDatum(
		heap_modify_tuple_by_cols(tuple, RelationGetDescr(rel), 1, &column, &value, &isnull));
}

/* ---- making it ---- */

/* The column that holds a table's keys, when somebody can write it and there is a spelling to keep; else 0. */
static AttrNumber
key_column(Relation rel, const char **form)
{
	StoredPolicies stored;
	Node *keys;
	AttrNumber column;

	if (rel->rd_rel->relkind != RELKIND_RELATION)
		return 0;
	stored_policies(RelationGetRelid(rel), &stored);
	if (stored.call == NULL || stored.options == NULL ||
		!policy_option_bool(stored.options, "patients") ||
		policy_option_text(stored.options, "follow") != NULL)
		return 0;
	*form = policy_option_text(stored.options, "patients_form");
	keys = list_nth(stored.call->args, POLICY_PATIENTS);
	while (IsA(keys, RelabelType))
		keys = (Node *) ((RelabelType *) keys)->arg;
	if (*form == NULL || !IsA(keys, Var) || ((Var *) keys)->varattno <= 0)
		return 0;
	column = ((Var *) keys)->varattno;
	return TupleDescAttr(RelationGetDescr(rel), column - 1)->attgenerated == '\0' ? column : 0;
}

static void
drop_trigger(Relation rel)
{
	ObjectAddress trigger;
	Oid oid = get_trigger_oid(RelationGetRelid(rel), TRIGGER_NAME, true);

	if (!OidIsValid(oid))
		return;
	ObjectAddressSet(trigger, TriggerRelationId, oid);
	performDeletion(&trigger, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	CommandCounterIncrement();
}

static void
make_trigger(Relation rel, AttrNumber column, const char *form)
{
	List *function = list_make2(makeString("smart_internal"), makeString("spell_key"));
	CreateTrigStmt *statement = makeNode(CreateTrigStmt);
	char *name = get_attname(RelationGetRelid(rel), column, false);
	AsOwner before;

	statement->trigname = TRIGGER_NAME;
	statement->relation = makeRangeVar(
		get_namespace_name(RelationGetNamespace(rel)), pstrdup(RelationGetRelationName(rel)), -1);
	statement->funcname = function;
	statement->args = list_make1(makeString(pstrdup(form)));
	statement->row = true;
	statement->timing = TRIGGER_TYPE_BEFORE;
	statement->events = TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE;
	statement->columns = list_make1(makeString(name));
	/* nobody may execute the function, and CREATE TRIGGER asks for that */
	before = become_owner(BOOTSTRAP_SUPERUSERID);
	(void) CreateTriggerFiringOn(statement,
								 NULL,
								 RelationGetRelid(rel),
								 InvalidOid,
								 InvalidOid,
								 InvalidOid,
								 LookupFuncName(function, 0, NULL, false),
								 InvalidOid,
								 NULL,
								 false,
								 false,
								 TRIGGER_FIRES_ON_ORIGIN);
	leave_owner(before);
	CommandCounterIncrement();
}

/*
 * smart_internal.put_key_trigger(relation regclass): the trigger of a table, as its policies want it, in the place of
 * the one that is there
 */
Datum
smart_put_key_trigger(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	const char *form = NULL;
	AttrNumber column;
	Relation rel;

	(void) owner_checked(relid);
	rel = table_open(relid, AccessExclusiveLock);
	/* it may have been given away while we waited */
	(void) owner_checked(relid);
	column = key_column(rel, &form);
	drop_trigger(rel);
	if (column != 0)
		make_trigger(rel, column, form);
	table_close(rel, NoLock);
	PG_RETURN_VOID();
}
