/*
 * src/policy/spelling.h
 *		How a table spells its stored keys: the bare id, or Patient/<id>.
 */
#ifndef SMART_FHIR_POLICY_SPELLING_H
#define SMART_FHIR_POLICY_SPELLING_H

#include "compat.h"
#include "fhir/fhir.h"

/* The id in a stored key; false when it is none in either spelling. *reference: Patient/<id>. */
extern bool spelling_id(FhirText key, FhirText *id, bool *reference);

#endif /* SMART_FHIR_POLICY_SPELLING_H */
