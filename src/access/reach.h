/*
 * src/access/reach.h
 *		Whose rows the levels of a session reach, as a set.
 */
#ifndef SMART_FHIR_ACCESS_REACH_H
#define SMART_FHIR_ACCESS_REACH_H

#include "fhir/fhir.h"
#include "scope/types.h"
#include "session/data.h"

/* The patients that patient/ or user/ reaches. */
static inline SessionTexts
access_reached_patients(const Session *session, ScopeLevel level)
{
	return level == SCOPE_LEVEL_PATIENT ? session->patients : session->user_patients;
}

/*
 * Is the key one of them? any_case: for keys that were stored as uuid, which keep no case; FHIR
 * ids do.
 */
extern bool access_reaches(const Session *session, ScopeLevel level, FhirText key, bool any_case);

#endif /* SMART_FHIR_ACCESS_REACH_H */
