/*
 * src/policy/kept_query.h
 *		Queries of plans, kept for as long as their plans may be run.
 */
#ifndef SMART_FHIR_POLICY_KEPT_QUERY_H
#define SMART_FHIR_POLICY_KEPT_QUERY_H

#include "nodes/parsenodes.h"

#include "compat.h"

/*
 * Keep a copy of a query that is about to be planned, at least until the current memory context is
 * reset. Returns its number, which is never 0.
 */
extern uint64 kept_query_make(Query *query);
/* No plan came of it that could need it. */
extern void kept_query_drop(uint64 id);
/* A plan of it starts; keep it for as long as the memory that this plan is in. */
extern void kept_query_hold(uint64 id, void *plan);
/* A copy, to be planned, in the current memory context; NULL when it is not kept any more. */
extern Query *kept_query_copy(uint64 id);
/* Is a plan of it kept beyond the statement that made it? */
extern bool kept_query_is_held(uint64 id);

#endif /* SMART_FHIR_POLICY_KEPT_QUERY_H */
