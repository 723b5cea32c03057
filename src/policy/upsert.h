/*
 * src/policy/upsert.h
 *		The WHERE of an ON CONFLICT action, behind the policies of the row that is met.
 */
#ifndef SMART_FHIR_POLICY_UPSERT_H
#define SMART_FHIR_POLICY_UPSERT_H

#include "nodes/parsenodes.h"

/* Rewrite the statement's action and those of its WITH, before it is planned. */
extern void upsert_guard_where(Query *query);

#endif /* SMART_FHIR_POLICY_UPSERT_H */
