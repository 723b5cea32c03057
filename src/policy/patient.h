/*
 * src/policy/patient.h
 *		The session's patients as folded policies may use them.
 */
#ifndef SMART_FHIR_POLICY_PATIENT_H
#define SMART_FHIR_POLICY_PATIENT_H

#include "utils/array.h"

#include "compat.h"
#include "policy/plans.h"

/* For which policy call, and for which session and statement something was found. */
typedef struct PatientCheck
{
	PolicyCall call;
	uint64 epoch;
	uint64 statement; /* generation that the statement started under, plus one */
} PatientCheck;

/* type NULL: of many types. Raises what policy_call_find() raises. */
extern void patient_check_init(PatientCheck *check, text *command, text *type, Jsonb *options);
extern bool patient_check_is_stale(const PatientCheck *check);

/*
 * The patients whose rows the call gives, all of them and nothing else, under the session that
 * the statement started with; NULL when the decision is another one. Spelled as the table's
 * options say. Allocates in CurrentMemoryContext.
 */
extern ArrayType *patient_check_again(PatientCheck *check, bool as_uuid);

#endif /* SMART_FHIR_POLICY_PATIENT_H */
