/*
 * src/session/context.h
 *		The context functions of an issuer: patient_aliases and user_patients.
 */
#ifndef SMART_FHIR_SESSION_CONTEXT_H
#define SMART_FHIR_SESSION_CONTEXT_H

#include "nodes/pg_list.h"

/*
 * Call function(argument) -> text[], found by its qualified name and argument type. A list of palloc'd ids;
 * *answered: it was not NULL; *n_unusable: answers that are no FHIR id, or too many.
 * Raises 55000 when it cannot be called or fails; its own error is in the server log then.
 */
extern List *session_context_call(const char *option, const char *name, Oid argtype, Datum argument,
								  bool *answered, int *n_unusable);

#define MAX_CONTEXT_PATIENTS 100000

#endif /* SMART_FHIR_SESSION_CONTEXT_H */
