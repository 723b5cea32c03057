/*
 * src/policy/patient.c
 *		The session's patients as values that folded policies compare keys with.
 *
 * Two sorts. smart_internal.session_patients() and its like give whoever the session reaches; they stand
 * beside smart_internal.row_check(), which decides. smart.patient_key() and its like stand alone, so they
 * check themselves: they are NULL unless the decision for that command and table is, at this
 * moment, "these patients' rows, all of them, and nothing else", under the session that the
 * statement started with. A plan that outlived its session so shows too little, never too much.
 *
 * Knows the decision by its shape; no rows, no plans.
 */
#include "postgres.h"

#include <ctype.h>

#include "access/parallel.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "compat.h"
#include "policy/policy.h"
#include "policy/patient.h"
#include "policy/statement.h"
#include "session/session.h"

PG_FUNCTION_INFO_V1(smart_session_patients);
PG_FUNCTION_INFO_V1(smart_session_patient_references);
PG_FUNCTION_INFO_V1(smart_session_patient_uuids);
PG_FUNCTION_INFO_V1(smart_session_patient_marks);
PG_FUNCTION_INFO_V1(smart_session_patient);
PG_FUNCTION_INFO_V1(smart_session_patient_reference);
PG_FUNCTION_INFO_V1(smart_session_patient_uuid);
PG_FUNCTION_INFO_V1(smart_patient_key);
PG_FUNCTION_INFO_V1(smart_patient_reference);
PG_FUNCTION_INFO_V1(smart_patient_uuid);
PG_FUNCTION_INFO_V1(smart_patient_keys);
PG_FUNCTION_INFO_V1(smart_patient_references);
PG_FUNCTION_INFO_V1(smart_patient_uuids);

/* How tables spell a patient. */
typedef enum Spelling
{
	SPELLING_ID,
	SPELLING_REFERENCE, /* Patient/<id>; in an array the id as well */
	SPELLING_MARK,		/* the id; in an array also what stands for several patients */
	SPELLING_UUID
} Spelling;

/* Hyphenated, as the decision compares uuid keys. */
static bool
is_uuid(const char *id)
{
	if (strlen(id) != 36)
		return false;
	for (int i = 0; i < 36; i++)
		if ((i == 8 || i == 13 || i == 18 || i == 23) ? id[i] != '-'
													  : !isxdigit((unsigned char) id[i]))
			return false;
	return true;
}

static int
append(const Session *session, SessionTexts texts, Spelling spelling, Datum *elements, int n)
{
	const char *id = session_texts_first(session, texts);

	for (int i = 0; i < texts.n; i++, id = session_texts_next(id))
	{
		if (spelling != SPELLING_UUID)
			elements[n++] = CStringGetTextDatum(id);
		else if (is_uuid(id))
			elements[n++] = DirectFunctionCall1(uuid_in, CStringGetDatum(id));
		if (spelling == SPELLING_REFERENCE)
			elements[n++] = CStringGetTextDatum(psprintf("Patient/%s", id));
	}
	return n;
}

/* The patients of some levels as an array; empty without a session. */
static ArrayType *
patients_array(const Session *session, int levels, Spelling spelling)
{
	Oid type = spelling == SPELLING_UUID ? UUIDOID : TEXTOID;
	Datum *elements;
	int n = 0;

	if (session == NULL)
		return construct_empty_array(type);
	elements = palloc(sizeof(Datum) * (2 * (session->patients.n + session->user_patients.n) + 2));
	if (levels & (1 << SCOPE_LEVEL_PATIENT))
		n = append(session, session->patients, spelling, elements, n);
	if (levels & (1 << SCOPE_LEVEL_USER))
		n = append(session, session->user_patients, spelling, elements, n);
	if (spelling == SPELLING_MARK)
		elements[n++] = CStringGetTextDatum(FHIR_SEVERAL_PATIENTS);
	return type == UUIDOID ? construct_array(elements, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR)
						   : construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT);
}

/* The patient of some levels, when there is just one; *isnull otherwise. */
static Datum
patient_value(const Session *session, int levels, Spelling spelling, bool *isnull)
{
	const char *id = NULL;

	*isnull = session == NULL || access_count_patients(session, levels, &id) != 1 ||
			  (spelling == SPELLING_UUID && !is_uuid(id));
	if (*isnull)
		return (Datum) 0;
	if (spelling == SPELLING_UUID)
		return DirectFunctionCall1(uuid_in, CStringGetDatum(id));
	return CStringGetTextDatum(spelling == SPELLING_REFERENCE ? psprintf("Patient/%s", id) : id);
}

/* ---- whoever the session reaches ---- */

Datum
smart_session_patients(PG_FUNCTION_ARGS)
{
	PG_RETURN_ARRAYTYPE_P(
		patients_array(session_current(), ACCESS_LEVELS_OF_PATIENTS, SPELLING_ID));
}

Datum
smart_session_patient_references(PG_FUNCTION_ARGS)
{
	PG_RETURN_ARRAYTYPE_P(
		patients_array(session_current(), ACCESS_LEVELS_OF_PATIENTS, SPELLING_REFERENCE));
}

Datum
smart_session_patient_uuids(PG_FUNCTION_ARGS)
{
	PG_RETURN_ARRAYTYPE_P(
		patients_array(session_current(), ACCESS_LEVELS_OF_PATIENTS, SPELLING_UUID));
}

Datum
smart_session_patient_marks(PG_FUNCTION_ARGS)
{
	PG_RETURN_ARRAYTYPE_P(
		patients_array(session_current(), ACCESS_LEVELS_OF_PATIENTS, SPELLING_MARK));
}

static Datum
session_patient(FunctionCallInfo fcinfo, Spelling spelling)
{
	return patient_value(session_current(), ACCESS_LEVELS_OF_PATIENTS, spelling, &fcinfo->isnull);
}

Datum
smart_session_patient(PG_FUNCTION_ARGS)
{
	return session_patient(fcinfo, SPELLING_ID);
}

Datum
smart_session_patient_reference(PG_FUNCTION_ARGS)
{
	return session_patient(fcinfo, SPELLING_REFERENCE);
}

Datum
smart_session_patient_uuid(PG_FUNCTION_ARGS)
{
	return session_patient(fcinfo, SPELLING_UUID);
}

/* ---- those whose rows the decision gives, and nothing else ---- */

/* Kept in fn_extra: the value is the same until the session or the statement is another. */
typedef struct PatientState
{
	PatientCheck check;
	Datum value;
	bool isnull;
} PatientState;

void
patient_check_init(PatientCheck *check, MemoryContext memory)
{
	uint64 generation;

	check->epoch = 0;
	check->statement = 0;
	if (statement_generation(memory, &generation))
		check->statement = generation + 1;
	/* for an estimate, or in a worker, whose session cannot change */
	else if (statement_is_planned() || IsParallelWorker())
		check->statement = session_generation() + 1;
}

bool
patient_check_is_stale(const PatientCheck *check)
{
	return check->epoch != session_epoch();
}

/* The levels whose patients count; 0 when the decision is not a form of theirs. */
static int
levels_now(PatientCheck *check, PolicyCall call, bool several)
{
	const Session *session = session_current();
	PolicyForm form;
	int levels;

	form = policy_call_form(call, session, &levels);
	check->epoch = session_epoch();
	if (session == NULL || check->statement != session_generation() + 1 ||
		!policy_form_is_whole(form) || (form != POLICY_ONE && !several))
		return 0;
	return levels;
}

ArrayType *
patient_check_again(PatientCheck *check, text *command, text *type, Jsonb *options, bool as_uuid)
{
	PolicyCall call = policy_call_find(command, type, options);
	int levels = levels_now(check, call, true);

	if (levels == 0)
		return NULL;
	return patients_array(session_current(),
						  levels,
						  as_uuid							 ? SPELLING_UUID
						  : policy_call_has_references(call) ? SPELLING_REFERENCE
															 : SPELLING_ID);
}

static Datum
checked(FunctionCallInfo fcinfo, Spelling spelling, bool several)
{
	PatientState *state = fcinfo->flinfo->fn_extra;

	if (state == NULL)
	{
		if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
			PG_RETURN_NULL();
		state = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(PatientState));
		state->isnull = true;
		patient_check_init(&state->check, fcinfo->flinfo->fn_mcxt);
		fcinfo->flinfo->fn_extra = state;
	}
	if (patient_check_is_stale(&state->check))
	{
		MemoryContext old;
		PolicyCall call;
		int levels;

		/* text or uuid or an array of them: by reference in any case */
		if (!state->isnull)
			pfree(DatumGetPointer(state->value));
		state->isnull = true;
		if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
			PG_RETURN_NULL();
		call = policy_call_find(PG_GETARG_TEXT_PP(0),
								PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1),
								PG_GETARG_JSONB_P(2));
		levels = levels_now(&state->check, call, several);
		old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		if (several && session_current() != NULL)
		{
			state->value = PointerGetDatum(patients_array(session_current(), levels, spelling));
			state->isnull = false;
		}
		else if (levels != 0)
			state->value = patient_value(session_current(), levels, spelling, &state->isnull);
		MemoryContextSwitchTo(old);
	}
	fcinfo->isnull = state->isnull;
	return state->isnull ? (Datum) 0 : state->value;
}

Datum
smart_patient_key(PG_FUNCTION_ARGS)
{
	return checked(fcinfo, SPELLING_ID, false);
}

Datum
smart_patient_reference(PG_FUNCTION_ARGS)
{
	return checked(fcinfo, SPELLING_REFERENCE, false);
}

Datum
smart_patient_uuid(PG_FUNCTION_ARGS)
{
	return checked(fcinfo, SPELLING_UUID, false);
}

Datum
smart_patient_keys(PG_FUNCTION_ARGS)
{
	return checked(fcinfo, SPELLING_ID, true);
}

Datum
smart_patient_references(PG_FUNCTION_ARGS)
{
	return checked(fcinfo, SPELLING_REFERENCE, true);
}

Datum
smart_patient_uuids(PG_FUNCTION_ARGS)
{
	return checked(fcinfo, SPELLING_UUID, true);
}
