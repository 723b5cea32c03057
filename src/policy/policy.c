/*
 * src/policy/policy.c
 *		smart_internal.row_policy(): the function that every policy calls.
 *
 * It asks the session and the decision, once a row. Per statement it keeps the table's
 * options and what the session was when the statement began: a login inside a running
 * statement shows no further rows.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rowsecurity.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

#include "compat.h"
#include "policy/guard.h"
#include "policy/policy.h"
#include "policy/plans.h"
#include "session/session.h"

PG_FUNCTION_INFO_V1(smart_row_policy);

/* Kept in fn_extra from the first row of a statement to its end. */
typedef struct PolicyState
{
	AccessTable table;
	AccessCommand command;
	bool check; /* of a new row: raises instead of returning false */
	Oid patients_type;
	uint64 epoch;
	uint64 generation; /* of the session when the statement began; 0: nobody */
	bool changed;	   /* by a login inside the statement: no more rows */
	AccessRow row;
} PolicyState;

void
policy_raise_insufficient(const char *type, const char *letters)
{
	ereport(ERROR,
			errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			errmsg("insufficient scope"),
			session_current() == NULL
				? errdetail("Nobody is logged in.")
				: (type ? errdetail("The session may not use \"%s\" on this %s.", letters, type)
						: errdetail("The session may not use \"%s\" on this resource.", letters)),
			errhidestmt(true),
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "insufficient_scope"));
}

static JsonbValue *
option(Jsonb *options, const char *name)
{
	JsonbValue key;

	key.type = jbvString;
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = strlen(name);
	return findJsonbValueFromContainer(&options->root, JB_FOBJECT, &key);
}

char *
policy_option_text(Jsonb *options, const char *name)
{
	JsonbValue *value = option(options, name);

	return value != NULL && value->type == jbvString
			   ? pnstrdup(value->val.string.val, value->val.string.len)
			   : NULL;
}

static bool
option_bool(Jsonb *options, const char *name)
{
	JsonbValue *value = option(options, name);

	return value != NULL && value->type == jbvBool && value->val.boolean;
}

/* An array of strings as names one after the other, ended by an empty one; NULL: none. */
static char *
option_names(Jsonb *options, const char *name)
{
	JsonbValue *value = option(options, name);
	StringInfoData names;
	int n;

	if (value == NULL || value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		return NULL;
	initStringInfo(&names);
	n = JsonContainerSize(value->val.binary.data);
	for (int i = 0; i < n; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(value->val.binary.data, i);

		if (element->type == jbvString && element->val.string.len > 0)
		{
			appendBinaryStringInfo(&names, element->val.string.val, element->val.string.len);
			appendStringInfoChar(&names, '\0');
		}
	}
	appendStringInfoChar(&names, '\0');
	return names.data;
}

bool
policy_options_are_current(Jsonb *options)
{
	JsonbValue *revision = option(options, "revision");

	return revision != NULL && revision->type == jbvNumeric &&
		   DatumGetInt32(DirectFunctionCall1(
			   numeric_int4, NumericGetDatum(revision->val.numeric))) == fhir_revision;
}

/* Is an option this text? */
static bool
option_is(Jsonb *options, const char *name, const char *value)
{
	JsonbValue *given = option(options, name);

	return given != NULL && given->type == jbvString &&
		   given->val.string.len == (int) strlen(value) &&
		   memcmp(given->val.string.val, value, strlen(value)) == 0;
}

bool
policy_keys_are_references(Jsonb *options)
{
	return option_is(options, "patients_form", "reference");
}

Oid
policy_function_beside(Oid function, const char *name, int nargs, const Oid *argtypes)
{
	/* documented, since plans show it; all else that a folded policy calls is internal */
	bool is_public = strcmp(name, "patient_key") == 0;

	return GetSysCacheOid3(PROCNAMEARGSNSP,
						   Anum_pg_proc_oid,
						   CStringGetDatum(name),
						   PointerGetDatum(buildoidvector(argtypes, nargs)),
						   ObjectIdGetDatum(is_public ? get_namespace_oid("smart", false)
													  : get_func_namespace(function)));
}

void
policy_options(Jsonb *options, AccessTable *table)
{
	char *version;
	char *reading;
	char *base_url;

	if (!JB_ROOT_IS_OBJECT(options))
		elog(ERROR, "options of a smart_fhir policy are no object");
	version = policy_option_text(options, "fhir_version");
	reading = policy_option_text(options, "compartment");
	if (version == NULL || !fhir_version_parse(version, &table->version) || reading == NULL ||
		(strcmp(reading, "subject") != 0 && strcmp(reading, "full") != 0))
		elog(ERROR, "options of a smart_fhir policy are incomplete");
	if (!policy_options_are_current(options))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("policy was made for another revision of the FHIR definitions"),
				errhint("Run smart.protect() on the table again."));
	table->reading = strcmp(reading, "full") == 0 ? FHIR_FULL : FHIR_SUBJECT;
	table->shared = option_bool(options, "shared") ? SHARED_YES : SHARED_NO;
	if (option(options, "shared") == NULL)
		table->shared = SHARED_DEFAULT;
	table->shared_types = option_names(options, "shared_types");
	table->has_patients = option_bool(options, "patients");
	table->one_key = option_is(options, "key", "one");
	table->references = policy_keys_are_references(options);
	table->followed = option(options, "follow") != NULL;
	table->base_url.data = NULL;
	table->base_url.len = 0;
	base_url = policy_option_text(options, "base_url");
	if (base_url != NULL)
	{
		table->base_url.data = base_url;
		table->base_url.len = strlen(base_url);
	}
}

static void
add_key(FhirKeys *keys, const char *data, int len)
{
	if (keys->n == keys->capacity)
	{
		FhirText *more = palloc(sizeof(FhirText) * keys->capacity * 2);

		memcpy(more, keys->keys, sizeof(FhirText) * keys->n);
		if (keys->keys != keys->fixed)
			pfree(keys->keys);
		keys->keys = more;
		keys->capacity *= 2;
	}
	keys->keys[keys->n].data = data;
	keys->keys[keys->n].len = len;
	keys->n++;
}

/* A stored key is `Patient/<id>` or a bare id; what row_patients() gives is a key already. */
static void
add_stored_key(AccessRow *row, FhirKeys *keys, const AccessTable *table, Datum value, Oid type)
{
	const char *data;
	int len;
	text *stored;

	if (type == UUIDOID)
	{
		data = DatumGetCString(DirectFunctionCall1(uuid_out, value));
		add_key(keys, data, strlen(data));
		return;
	}
	stored = DatumGetTextPP(value);
	data = VARDATA_ANY(stored);
	len = VARSIZE_ANY_EXHDR(stored);
	if (table->has_patients)
	{
		bool reference = len > 8 && memcmp(data, "Patient/", 8) == 0;

		row->misspelled = reference != table->references;
		if (reference)
		{
			data += 8;
			len -= 8;
		}
		if (!fhir_id_is_valid(data, len))
		{
			row->misspelled = true;
			row->stray_key = true;
			return;
		}
	}
	add_key(keys, data, len);
}

static bool
key_type_is_supported(Oid type)
{
	return type == TEXTOID || type == VARCHAROID || type == UUIDOID;
}

/* get_element_type(), without a look-up in the catalog for each row. */
static Oid
key_element_type(Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case UUIDOID:
			return InvalidOid;
		case TEXTARRAYOID:
			return TEXTOID;
		case UUIDARRAYOID:
			return UUIDOID;
		default:
			return get_element_type(type);
	}
}

/* What smart_internal.row_patient() gives for a record about several patients. */
static bool
is_several(Datum value, Oid type)
{
	text *key;

	if (type != TEXTOID)
		return false;
	key = DatumGetTextPP(value);
	return VARSIZE_ANY_EXHDR(key) == strlen(FHIR_SEVERAL_PATIENTS) &&
		   memcmp(VARDATA_ANY(key), FHIR_SEVERAL_PATIENTS, strlen(FHIR_SEVERAL_PATIENTS)) == 0;
}

void
policy_keys(AccessRow *row, const AccessTable *table, Datum value, bool isnull, Oid type)
{
	FhirKeys *keys = table->has_patients ? &row->patients : &row->members;
	Oid element;

	if (!table->has_patients)
	{
		/* not computed: the decision finds them in the resource when it needs them */
		if (isnull || is_several(value, type))
			return;
		row->has_members = true;
		if (table->reading == FHIR_SUBJECT)
		{
			keys = &row->subjects;
			row->has_subjects = true;
		}
	}
	element = key_element_type(type);
	row->uuid_keys = type == UUIDOID || element == UUIDOID;
	if (isnull)
		return;
	/* any user may call the function, and any owner may write the policy */
	if (!key_type_is_supported(OidIsValid(element) ? element : type))
		ereport(ERROR,
				errcode(ERRCODE_DATATYPE_MISMATCH),
				errmsg("patients of a row must be text or uuid, or an array of them"));
	if (OidIsValid(element))
	{
		ArrayType *array = DatumGetArrayTypeP(value);
		bool uuid = element == UUIDOID;
		Datum *elements;
		bool *nulls;
		int n;

		deconstruct_array(array,
						  element,
						  uuid ? UUID_LEN : -1,
						  false,
						  uuid ? TYPALIGN_CHAR : TYPALIGN_INT,
						  &elements,
						  &nulls,
						  &n);
		for (int i = 0; i < n; i++)
		{
			if (nulls[i])
				row->stray_key = true;
			else
				add_stored_key(row, keys, table, elements[i], element);
		}
	}
	else
		add_stored_key(row, keys, table, value, type);
}

AccessCommand
policy_command_parse(const char *name, bool *check)
{
	*check = false;
	if (strcmp(name, "SELECT") == 0)
		return COMMAND_SELECT;
	if (strcmp(name, "INSERT CHECK") == 0)
	{
		*check = true;
		return COMMAND_INSERT;
	}
	if (strcmp(name, "UPDATE") == 0)
		return COMMAND_UPDATE;
	if (strcmp(name, "UPDATE CHECK") == 0)
	{
		*check = true;
		return COMMAND_UPDATE;
	}
	if (strcmp(name, "DELETE") == 0)
		return COMMAND_DELETE;
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid value for parameter \"%s\"", "command"));
}

/* The table's options, which a backend that has planned the policy knows already. */
static void
read_options(FunctionCallInfo fcinfo, AccessTable *table)
{
	Jsonb *options = PG_GETARG_JSONB_P(POLICY_OPTIONS);
	bool one_type =
		!PG_ARGISNULL(POLICY_TYPE) && get_fn_expr_arg_stable(fcinfo->flinfo, POLICY_TYPE);
	const AccessTable *known =
		policy_call_table(policy_call_find(PG_GETARG_TEXT_PP(POLICY_COMMAND),
										   one_type ? PG_GETARG_TEXT_PP(POLICY_TYPE) : NULL,
										   options));

	/* texts belong to the call, and it may be forgotten while this statement runs */
	if (known != NULL && known->shared_types == NULL && known->base_url.data == NULL)
		*table = *known;
	else
		policy_options(options, table);
}

static PolicyState *
policy_state(FunctionCallInfo fcinfo)
{
	PolicyState *state = fcinfo->flinfo->fn_extra;
	MemoryContext old;
	char *command;
	uint64 started_under;

	if (state != NULL)
	{
		if (state->epoch != session_epoch())
		{
			state->epoch = session_epoch();
			if (state->generation != session_generation())
				state->changed = true;
		}
		return state;
	}
	/* the first row of a statement whose plan the guard did not mark */
	(void) session_checked();
	if (PG_ARGISNULL(POLICY_COMMAND) || PG_ARGISNULL(POLICY_OPTIONS))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("command and options of smart_internal.row_policy() must not be null"));
	command = text_to_cstring(PG_GETARG_TEXT_PP(POLICY_COMMAND));
	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	state = palloc0(sizeof(PolicyState));
	state->command = policy_command_parse(command, &state->check);
	state->patients_type = get_fn_expr_argtype(fcinfo->flinfo, POLICY_PATIENTS);
	if (!OidIsValid(state->patients_type))
		state->patients_type = UNKNOWNOID;
	else
		state->patients_type = getBaseType(state->patients_type);
	read_options(fcinfo, &state->table);
	MemoryContextSwitchTo(old);
	state->epoch = session_epoch();
	state->generation = session_generation();
	/* a login may have come between the start of the statement and its first row */
	if (guard_statement_generation(&started_under) && started_under != state->generation)
		state->changed = true;
	fcinfo->flinfo->fn_extra = state;
	return state;
}

FhirText
policy_text_arg(FunctionCallInfo fcinfo, int arg)
{
	FhirText result = {NULL, 0};

	if (!PG_ARGISNULL(arg))
	{
		text *value = PG_GETARG_TEXT_PP(arg);

		result.data = VARDATA_ANY(value);
		result.len = VARSIZE_ANY_EXHDR(value);
	}
	return result;
}

Datum
smart_row_policy(PG_FUNCTION_ARGS)
{
	PolicyState *state = policy_state(fcinfo);
	const Session *session = session_current();
	bool allowed = false;

	if (session != NULL && !state->changed && !PG_ARGISNULL(POLICY_RESOURCE))
	{
		AccessRow *row = &state->row;

		access_row_init(row);
		row->valid = fhir_resource_init(&row->resource,
										&PG_GETARG_JSONB_P(POLICY_RESOURCE)->root,
										state->table.version,
										policy_text_arg(fcinfo, POLICY_TYPE),
										policy_text_arg(fcinfo, POLICY_ID),
										state->table.base_url);
		if (row->valid)
		{
			policy_keys(row,
						&state->table,
						PG_GETARG_DATUM(POLICY_PATIENTS),
						PG_ARGISNULL(POLICY_PATIENTS),
						state->patients_type);
			allowed = access_permits_command(session, &state->table, row, state->command);
			/* others' plans rest on there being none */
			if (allowed && state->check && !access_row_has_one_key(&state->table, row))
				guard_note_irregular_row();
		}
		access_row_reset(row);
	}
	if (!allowed && state->check)
		policy_raise_insufficient(NULL, state->command == COMMAND_INSERT ? "c" : "u");
	PG_RETURN_BOOL(allowed);
}

/* The node as a call of smart_internal.row_policy(), or NULL. */
static FuncExpr *
as_policy_call(Node *node)
{
	FuncExpr *call = (FuncExpr *) node;
	char *name;
	char *schema;

	if (call == NULL || !IsA(call, FuncExpr) || list_length(call->args) != POLICY_N_ARGS)
		return NULL;
	name = get_func_name(call->funcid);
	schema = get_namespace_name(get_func_namespace(call->funcid));
	if (name != NULL && strcmp(name, "row_policy") == 0 && schema != NULL &&
		strcmp(schema, "smart_internal") == 0)
		return call;
	return NULL;
}

FuncExpr *
policy_call_of(Relation rel)
{
	ListCell *cell;

	if (!rel->rd_rel->relrowsecurity || rel->rd_rsdesc == NULL)
		return NULL;
	foreach(cell, rel->rd_rsdesc->policies)
	{
		RowSecurityPolicy *policy = lfirst(cell);
		FuncExpr *call =
			policy->polcmd == ACL_SELECT_CHR ? as_policy_call((Node *) policy->qual) : NULL;

		if (call != NULL)
			return call;
	}
	return NULL;
}

FuncExpr *
policy_call_stored(Oid relid)
{
	Relation catalog = table_open(PolicyRelationId, AccessShareLock);
	FuncExpr *call = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(
		&key, Anum_pg_policy_polrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, PolicyPolrelidPolnameIndexId, true, NULL, 1, &key);
	while (call == NULL && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool isnull;
		Datum qual =
			heap_getattr(tuple, Anum_pg_policy_polqual, RelationGetDescr(catalog), &isnull);

		if (!isnull && ((Form_pg_policy) GETSTRUCT(tuple))->polcmd == ACL_SELECT_CHR)
			call = as_policy_call(stringToNode(TextDatumGetCString(qual)));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return call;
}

FuncExpr *
policy_as_row_check(FuncExpr *call)
{
	static const Oid argtypes[] = {TEXTOID, ANYOID, JSONBOID, TEXTOID, TEXTOID, JSONBOID};
	Const *options = list_nth(call->args, POLICY_OPTIONS);
	Oid function = policy_function_beside(call->funcid, "row_check", POLICY_N_ARGS, argtypes);
	FuncExpr *check;

	if (!OidIsValid(function))
		return NULL;
	check = copyObject(call);
	check->funcid = function;
	/* keys that row_check() can find in the resource are not worth computing for it */
	if (IsA(options, Const) && !options->constisnull &&
		!option_bool(DatumGetJsonbP(options->constvalue), "patients"))
		lfirst(list_nth_cell(check->args, POLICY_PATIENTS)) =
			makeNullConst(TEXTARRAYOID, -1, DEFAULT_COLLATION_OID);
	return check;
}

static bool
ask_by_row(Node *node, void *context)
{
	FuncExpr *call;
	FuncExpr *check;

	if (node == NULL)
		return false;
	call = IsA(node, FuncExpr) ? as_policy_call(node) : NULL;
	if (call == NULL)
		return expression_tree_walker(node, ask_by_row, context);
	check = policy_as_row_check(call);
	if (check != NULL)
	{
		call->funcid = check->funcid;
		call->args = check->args;
	}
	*(bool *) context = true;
	return false;
}

bool
policy_ask_by_row(Node *expression)
{
	bool found = false;

	(void) ask_by_row(expression, &found);
	return found;
}

bool
policy_is_call(const char *expression)
{
	return as_policy_call(stringToNode(expression)) != NULL;
}
