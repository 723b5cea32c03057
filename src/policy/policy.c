/*
 * src/policy/policy.c
 *		smart_internal.row_policy(): the function that every policy calls.
 *
 * It asks the session and the decision, once a row. Per statement it keeps the table's
 * options and what the session was when the statement began: a login inside a running
 * statement shows no further rows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/uuid.h"

#include "compat.h"
#include "policy/policy.h"
#include "policy/forms.h"
#include "policy/spelling.h"
#include "policy/statement.h"
#include "session/session.h"
#include "session/stat.h"

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
policy_raise_insufficient(const char *letters, const char *type, const char *cause)
{
	stat_count(STAT_INSUFFICIENT_SCOPE);
	ereport(
		ERROR,
		errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		errmsg("insufficient scope"),
		session_current() == NULL
			? errdetail("Nobody is logged in.")
			: (cause ? errdetail("The session may not use \"%s\" on %s: %s.", letters, type, cause)
					 : errdetail("The session may not use \"%s\" on this resource.", letters)),
		session_current() == NULL ? errhint("Call smart.login() first, in the same transaction.")
								  : errhint("smart.explain() says why, scope by scope."),
		errhidestmt(true),
		err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
		err_generic_string(PG_DIAG_CONSTRAINT_NAME, "insufficient_scope"));
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
		FhirText id;
		bool reference;
		bool is_id = spelling_id((FhirText){data, len}, &id, &reference);

		row->misspelled = !is_id || reference != table->references;
		if (!is_id)
		{
			row->stray_key = true;
			return;
		}
		data = id.data;
		len = id.len;
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
	if (statement_generation(fcinfo->flinfo->fn_mcxt, &started_under) &&
		started_under != state->generation)
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
				statement_note_irregular_row();
		}
		access_row_reset(row);
	}
	if (!allowed && state->check)
		policy_raise_insufficient(state->command == COMMAND_INSERT ? "c" : "u", NULL, NULL);
	PG_RETURN_BOOL(allowed);
}
