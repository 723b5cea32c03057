/*
 * src/policy/row.c
 *		smart_internal.row_is_regular(): may a folded policy rely on this row?
 *
 * True of a row that the decision takes for a resource of its table, and whose key, where the
 * table has one key a row, is all that the decision asks of it: at most one patient, spelled
 * as the table's keys are. smart.protect() makes a partial index of the other rows; while it is
 * empty, src/policy/fold.c leaves row_check() away. Depends on the row and the options alone.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "policy/policy.h"
#include "policy/spelling.h"

PG_FUNCTION_INFO_V1(smart_row_is_regular);

/* smart_internal.row_policy()'s without the command. */
enum
{
	REGULAR_PATIENTS,
	REGULAR_RESOURCE,
	REGULAR_TYPE,
	REGULAR_ID,
	REGULAR_OPTIONS
};

/* Kept in fn_extra: one table's options. */
typedef struct RegularState
{
	AccessTable table;
	bool outdated; /* made for another revision of the FHIR definitions */
	bool is_text;  /* a stored one, of type text or varchar */
} RegularState;

static RegularState *
regular_state(FunctionCallInfo fcinfo)
{
	RegularState *state = fcinfo->flinfo->fn_extra;
	MemoryContext old;
	Jsonb *options;
	Oid type;

	if (state != NULL)
		return state;
	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	state = palloc0(sizeof(RegularState));
	options = PG_GETARG_JSONB_P(REGULAR_OPTIONS);
	state->outdated = !policy_options_are_current(options);
	if (!state->outdated)
	{
		policy_options(options, &state->table);
		type = get_fn_expr_argtype(fcinfo->flinfo, REGULAR_PATIENTS);
		type = OidIsValid(type) ? getBaseType(type) : InvalidOid;
		state->is_text = state->table.has_patients && (type == TEXTOID || type == VARCHAROID);
	}
	MemoryContextSwitchTo(old);
	fcinfo->flinfo->fn_extra = state;
	return state;
}

static bool
is_spelled(const RegularState *state, FhirText key)
{
	FhirText id;
	bool reference;

	return spelling_id(key, &id, &reference) && reference == state->table.references;
}

static bool
has_one_patient(const RegularState *state, const FhirResource *resource)
{
	FhirKeys keys;
	bool result;

	fhir_keys_init(&keys);
	fhir_patients(resource, state->table.reading, &keys);
	result = keys.n <= 1;
	fhir_keys_reset(&keys);
	return result;
}

Datum
smart_row_is_regular(PG_FUNCTION_ARGS)
{
	RegularState *state;
	FhirResource resource;

	if (PG_ARGISNULL(REGULAR_OPTIONS) || PG_ARGISNULL(REGULAR_RESOURCE))
		PG_RETURN_BOOL(false);
	state = regular_state(fcinfo);
	if (state->outdated || !fhir_resource_init(&resource,
											   &PG_GETARG_JSONB_P(REGULAR_RESOURCE)->root,
											   state->table.version,
											   policy_text_arg(fcinfo, REGULAR_TYPE),
											   policy_text_arg(fcinfo, REGULAR_ID),
											   state->table.base_url))
		PG_RETURN_BOOL(false);
	if (resource.type < 0)
		PG_RETURN_BOOL(false);
	if (!state->table.one_key)
		PG_RETURN_BOOL(true);
	if (!state->table.has_patients)
		PG_RETURN_BOOL(has_one_patient(state, &resource));
	PG_RETURN_BOOL(!state->is_text || PG_ARGISNULL(REGULAR_PATIENTS) ||
				   is_spelled(state, policy_text_arg(fcinfo, REGULAR_PATIENTS)));
}
