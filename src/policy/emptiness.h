/*
 * src/policy/emptiness.h
 *		Is an index empty of all that any snapshot may see?
 */
#ifndef SMART_FHIR_POLICY_EMPTINESS_H
#define SMART_FHIR_POLICY_EMPTINESS_H

#include "utils/rel.h"

#include "compat.h"

/*
 * Of a btree that is open and locked, and whose table is locked. Entries that every transaction takes for dead do not
 * count, whether VACUUM has been there or not. When that is found out for the first time, plans over
 * the table are made anew. False also when the answer would take long. Not to be asked in recovery.
 */
extern bool index_is_empty(Relation index);

#endif /* SMART_FHIR_POLICY_EMPTINESS_H */
