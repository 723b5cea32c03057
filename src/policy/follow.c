/*
 * src/policy/follow.c
 *		Records about records: keeping the patient that a record's targets belong to.
 *
 * smart.protect(follow => 'target') gives a table (Provenance, Binary, AuditEvent) a column with
 * the patient of all that the element names, and two triggers: one on the table itself, that sets
 * the column, and one on each table that may be named, that has it set anew when a named record
 * comes, goes or becomes another patient's.
 *
 * Targets are looked up, and followers touched, as the owner of the table and past its
 * FORCE ROW LEVEL SECURITY (src/policy/owner.h), as PostgreSQL does for foreign keys: what a record
 * belongs to must not depend on what its writer may see. What runs so is our own SQL (sql/73_follow.sql) and
 * expressions and triggers that the owner wrote. Nothing of it reaches the writer but the column of
 * the row that it writes, and the policies check that.
 *
 * Makes no decision; src/access/access.c does, by the column.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "fhir/tables.h"
#include "policy/owner.h"
#include "policy/policy.h"
#include "policy/stored.h"

PG_FUNCTION_INFO_V1(smart_followed_references);
PG_FUNCTION_INFO_V1(smart_keep_followed);
PG_FUNCTION_INFO_V1(smart_touch_followers);
PG_FUNCTION_INFO_V1(smart_refresh_followed);

#define FOLLOWED_COLUMN "smart_patient"
/* A record that names more than so many others belongs to nobody. */
#define MAX_REFERENCES 1000
#define MAX_PATH_BYTES 256

/* ---- what an element names ---- */

typedef struct References
{
	FhirText base_url;
	int n;
	Datum *elements; /* "Type/id"; "" for what cannot be one of the table's own server */
} References;

static bool
collect(const JsonbValue *value, void *arg)
{
	References *references = arg;
	FhirReference parts;
	JsonbValue member;
	FhirText type;
	FhirText id;
	text *named = NULL;

	if (references->n == MAX_REFERENCES)
		return true;
	if (value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data))
	{
		if (getKeyJsonValueFromContainer(value->val.binary.data, "reference", 9, &member) != NULL)
		{
			if (member.type == jbvString &&
				fhir_reference_parse((FhirText){member.val.string.val, member.val.string.len},
									 &parts) &&
				(parts.base.data == NULL || (references->base_url.data != NULL &&
											 fhir_text_equals(parts.base, references->base_url))))
				named = cstring_to_text(psprintf(
					"%.*s/%.*s", parts.type.len, parts.type.data, parts.id.len, parts.id.data));
		}
		else if (fhir_text_literal(value, "resourceType", &type) &&
				 fhir_text_literal(value, "id", &id) && fhir_id_is_valid(id.data, id.len))
			named = cstring_to_text(psprintf("%.*s/%.*s", type.len, type.data, id.len, id.data));
	}
	references->elements[references->n++] =
		PointerGetDatum(named != NULL ? named : cstring_to_text(""));
	return false;
}

/* "entity.what" as the steps that fhir_walk() takes; false when it is no such path. */
static bool
path_steps(const char *path, char *steps)
{
	if (strlen(path) > MAX_PATH_BYTES)
		return false;
	for (;;)
	{
		size_t len = strcspn(path, ".");

		if (len == 0 || len > 127)
			return false;
		*steps++ = (char) len;
		memcpy(steps, path, len);
		steps += len;
		path += len;
		if (*path == '\0')
			break;
		path++;
	}
	*steps = '\0';
	return true;
}

static ArrayType *
references_of(Jsonb *resource, const char *path, FhirText base_url)
{
	char steps[MAX_PATH_BYTES + 2];
	FhirTables tables = {.strings = steps};
	References references = {fhir_base_url(base_url), 0, NULL};

	references.elements = palloc(sizeof(Datum) * MAX_REFERENCES);
	if (resource != NULL && JB_ROOT_IS_OBJECT(resource) && path_steps(path, steps) &&
		fhir_walk(&resource->root, &tables, 0, NULL, collect, &references))
	{
		/* too many */
		references.n = 1;
		references.elements[0] = PointerGetDatum(cstring_to_text(""));
	}
	return construct_array(references.elements, references.n, TEXTOID, -1, false, TYPALIGN_INT);
}

Datum
smart_followed_references(PG_FUNCTION_ARGS)
{
	FhirText base_url = {NULL, 0};

	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	if (!PG_ARGISNULL(2))
	{
		text *given = PG_GETARG_TEXT_PP(2);

		base_url = (FhirText){VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given)};
	}
	PG_RETURN_ARRAYTYPE_P(references_of(PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0),
										text_to_cstring(PG_GETARG_TEXT_PP(1)),
										base_url));
}

/* ---- a row by its policy ---- */

/*
 * Kept in fn_extra: the policy's expressions over a table. NULL for a table without our policies:
 * it is open anyway, or a restore is filling it, which has made the trigger of a partitioned table
 * before it loads the partitions. Then rows are left as they are.
 */
typedef struct RowReader
{
	Oid relid;
	AccessTable table;
	char *path; /* NULL: the table does not follow */
	EState *estate;
	ExprContext *econtext;
	TupleTableSlot *slot;
	ExprState *args[POLICY_N_ARGS];
	bool keys_are_array;
	Oid keys_type;
} RowReader;

static RowReader *
row_reader(FunctionCallInfo fcinfo, Relation rel)
{
	RowReader *reader = fcinfo->flinfo->fn_extra;
	MemoryContext old;
	FuncExpr *call;
	Const *options;

	if (reader != NULL && reader->relid == RelationGetRelid(rel))
		return reader;
	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	call = policy_call_stored(RelationGetRelid(rel));
	options = call == NULL ? NULL : list_nth(call->args, POLICY_OPTIONS);
	if (options == NULL || !IsA(options, Const) || options->constisnull)
	{
		MemoryContextSwitchTo(old);
		return NULL;
	}
	reader = palloc0(sizeof(RowReader));
	reader->relid = RelationGetRelid(rel);
	policy_options(DatumGetJsonbP(options->constvalue), &reader->table);
	reader->path = policy_option_text(DatumGetJsonbP(options->constvalue), "follow");
	reader->keys_type = exprType(list_nth(call->args, POLICY_PATIENTS));
	reader->keys_are_array = OidIsValid(get_element_type(reader->keys_type));
	reader->econtext = CreateStandaloneExprContext();
	reader->slot = MakeSingleTupleTableSlot(CreateTupleDescCopyConstr(RelationGetDescr(rel)),
											&TTSOpsHeapTuple);
	for (int i = POLICY_PATIENTS; i <= POLICY_ID; i++)
		reader->args[i] = ExecInitExpr(expression_planner(list_nth(call->args, i)), NULL);
	MemoryContextSwitchTo(old);
	fcinfo->flinfo->fn_extra = reader;
	return reader;
}

static Datum
read_arg(RowReader *reader, HeapTuple tuple, int arg, bool *isnull)
{
	ExecForceStoreHeapTuple(tuple, reader->slot, false);
	reader->econtext->ecxt_scantuple = reader->slot;
	return ExecEvalExprSwitchContext(reader->args[arg], reader->econtext, isnull);
}

static Jsonb *
read_resource(RowReader *reader, HeapTuple tuple)
{
	bool isnull;
	Datum resource = read_arg(reader, tuple, POLICY_RESOURCE, &isnull);

	return isnull ? NULL : DatumGetJsonbP(resource);
}

static ArrayType *
trigger_arguments(const Trigger *trigger)
{
	Datum *elements = palloc(sizeof(Datum) * Max(trigger->tgnargs, 1));

	for (int i = 0; i < trigger->tgnargs; i++)
		elements[i] = CStringGetTextDatum(trigger->tgargs[i]);
	return construct_array(elements, trigger->tgnargs, TEXTOID, -1, false, TYPALIGN_INT);
}

static TriggerData *
trigger_data(FunctionCallInfo fcinfo, bool before)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(data->tg_event) ||
		(before ? !TRIGGER_FIRED_BEFORE(data->tg_event) : !TRIGGER_FIRED_AFTER(data->tg_event)))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function must be called as the trigger that smart.protect() makes"));
	return data;
}

/*
 * smart_internal.keep_followed(): before a row is written, its patient. Arguments of the trigger: pairs of a
 * resource type, or * for a table of many, and the table that holds it.
 */
Datum
smart_keep_followed(PG_FUNCTION_ARGS)
{
	TriggerData *data = trigger_data(fcinfo, true);
	Relation rel = data->tg_relation;
	HeapTuple tuple =
		TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple;
	RowReader *reader = row_reader(fcinfo, rel);
	int column = SPI_fnumber(RelationGetDescr(rel), FOLLOWED_COLUMN);
	Oid types[] = {TEXTARRAYOID, TEXTARRAYOID, REGCLASSOID};
	Datum values[3];
	Datum patient = (Datum) 0;
	bool isnull = true;
	AsOwner before;
	MemoryContext caller = CurrentMemoryContext;

	if (reader == NULL)
		return PointerGetDatum(tuple);
	if (column <= 0 || reader->path == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("table \"%s\" follows nothing", RelationGetRelationName(rel)),
				errhint("Run smart.protect() again."));
	values[0] = PointerGetDatum(
		references_of(read_resource(reader, tuple), reader->path, reader->table.base_url));
	values[1] = PointerGetDatum(trigger_arguments(data->tg_trigger));
	values[2] = ObjectIdGetDatum(RelationGetRelid(rel));
	before = become_owner(rel->rd_rel->relowner);
	if (SPI_execute_with_args("SELECT smart_internal.followed_patient($1, $2, $3)",
							  3,
							  types,
							  values,
							  NULL,
							  false,
							  1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not look up what a row follows");
	patient = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
	{
		MemoryContext old = MemoryContextSwitchTo(caller);

		patient = PointerGetDatum(DatumGetTextPCopy(patient));
		MemoryContextSwitchTo(old);
	}
	leave_owner(before);
	return PointerGetDatum(
		heap_modify_tuple_by_cols(tuple, RelationGetDescr(rel), 1, &column, &patient, &isnull));
}

/* "Type/id" of a row, and its keys as text, for comparison. */
static void
identify(RowReader *reader, HeapTuple tuple, char **reference, char **keys)
{
	Jsonb *json = read_resource(reader, tuple);
	FhirResource resource;
	FhirText row_type = {NULL, 0};
	FhirText row_id = {NULL, 0};
	bool isnull;
	Datum value;
	Oid out;
	bool is_varlena;

	*reference = NULL;
	*keys = NULL;
	value = read_arg(reader, tuple, POLICY_TYPE, &isnull);
	if (!isnull)
	{
		text *given = DatumGetTextPP(value);

		row_type = (FhirText){VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given)};
	}
	value = read_arg(reader, tuple, POLICY_ID, &isnull);
	if (!isnull)
	{
		text *given = DatumGetTextPP(value);

		row_id = (FhirText){VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given)};
	}
	if (json == NULL || !fhir_resource_init(&resource,
											&json->root,
											reader->table.version,
											row_type,
											row_id,
											reader->table.base_url))
		return;
	if (resource.id.data != NULL)
		*reference = psprintf("%.*s/%.*s",
							  resource.type_name.len,
							  resource.type_name.data,
							  resource.id.len,
							  resource.id.data);
	value = read_arg(reader, tuple, POLICY_PATIENTS, &isnull);
	if (!isnull)
	{
		getTypeOutputInfo(reader->keys_type, &out, &is_varlena);
		*keys = OidOutputFunctionCall(out, value);
	}
}

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/*
 * smart_internal.touch_followers(): after a record that others may name was written, these are looked at
 * again. Arguments of the trigger: the tables that follow.
 */
Datum
smart_touch_followers(PG_FUNCTION_ARGS)
{
	TriggerData *data = trigger_data(fcinfo, false);
	RowReader *reader = row_reader(fcinfo, data->tg_relation);
	char *old_reference = NULL;
	char *old_keys = NULL;
	char *new_reference = NULL;
	char *new_keys = NULL;
	Oid types[] = {TEXTARRAYOID, TEXTARRAYOID, REGCLASSOID};
	Datum values[3];
	Datum named[2];
	int n = 0;
	AsOwner before;

	if (reader == NULL)
		return PointerGetDatum(NULL);
	if (!TRIGGER_FIRED_BY_INSERT(data->tg_event))
		identify(reader, data->tg_trigtuple, &old_reference, &old_keys);
	if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
		identify(reader, data->tg_trigtuple, &new_reference, &new_keys);
	else if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
		identify(reader, data->tg_newtuple, &new_reference, &new_keys);
	if (TRIGGER_FIRED_BY_UPDATE(data->tg_event) && same(old_reference, new_reference) &&
		same(old_keys, new_keys))
		return PointerGetDatum(NULL);
	if (old_reference != NULL)
		named[n++] = CStringGetTextDatum(old_reference);
	if (new_reference != NULL && !same(old_reference, new_reference))
		named[n++] = CStringGetTextDatum(new_reference);
	if (n == 0)
		return PointerGetDatum(NULL);
	values[0] = PointerGetDatum(construct_array(named, n, TEXTOID, -1, false, TYPALIGN_INT));
	values[1] = PointerGetDatum(trigger_arguments(data->tg_trigger));
	values[2] = ObjectIdGetDatum(RelationGetRelid(data->tg_relation));
	before = become_owner(data->tg_relation->rd_rel->relowner);
	if (SPI_execute_with_args(
			"SELECT smart_internal.follow_again($1, $2, $3)", 3, types, values, NULL, false, 1) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not touch what follows a row");
	leave_owner(before);
	return PointerGetDatum(NULL);
}

/* smart.refresh_followed(relation regclass) -> bigint: rows whose patient was another */
Datum
smart_refresh_followed(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	Oid types[] = {REGCLASSOID};
	Datum values[] = {ObjectIdGetDatum(relid)};
	AsOwner before;
	Datum changed;
	bool isnull;

	before = become_owner(owner_checked(relid));
	if (SPI_execute_with_args(
			"SELECT smart_internal.follow_all($1)", 1, types, values, NULL, false, 1) !=
			SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not refresh what a table follows");
	changed = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	leave_owner(before);
	PG_RETURN_DATUM(changed);
}
