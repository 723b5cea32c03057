/*
 * src/policy/patient.h
 *		The session's patients as folded policies may use them.
 */
#ifndef SMART_FHIR_POLICY_PATIENT_H
#define SMART_FHIR_POLICY_PATIENT_H

#include "utils/array.h"

#include "compat.h"
#include "policy/forms.h"

/* For which session something was found, in an expression of a statement. */
typedef struct PatientCheck
{
	uint64 epoch;
	uint64 statement; /* generation that its statement started under, plus one; 0: none of ours */
} PatientCheck;

/* memory: of the expression, fn_mcxt. */
extern void patient_check_init(PatientCheck *check, MemoryContext memory);
extern bool patient_check_is_stale(const PatientCheck *check);

/*
 * The patients whose rows the call gives, all of them and nothing else, under the session that
 * the statement started with; NULL when the decision is another one. Spelled as the table's
 * options say. type NULL: of many types. Raises what policy_call_find() raises. Allocates in
 * CurrentMemoryContext.
 */
extern ArrayType *patient_check_again(PatientCheck *check, text *command, text *type,
									  Jsonb *options, bool as_uuid);

#endif /* SMART_FHIR_POLICY_PATIENT_H */
