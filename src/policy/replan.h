/*
 * src/policy/replan.h
 *		A plan that was made under another form, made again for the session of the moment.
 */
#ifndef SMART_FHIR_POLICY_REPLAN_H
#define SMART_FHIR_POLICY_REPLAN_H

#include "nodes/plannodes.h"

#include "compat.h"
#include "policy/marks.h"

typedef struct Replanned Replanned;

/*
 * A plan of the query that the marks carry; NULL when there is none, or when what was planned does
 * not fit either. backward: it must run backward, too. Kept at least until replan_release().
 */
extern Replanned *replan(const PlanMarks *marks, const char *query_string, bool backward,
						 Snapshot snapshot);
extern PlannedStmt *replan_plan(Replanned *replanned);
extern void replan_release(Replanned *replanned);

/* Is this query, that our planner hook was called with, one of replan()? */
extern bool replan_is_of(const Query *parse);

#endif /* SMART_FHIR_POLICY_REPLAN_H */
