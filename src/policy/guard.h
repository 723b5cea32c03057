/*
 * src/policy/guard.h
 *		Statements on protected tables: checked when they start and when they go on.
 */
#ifndef SMART_FHIR_GUARD_H
#define SMART_FHIR_GUARD_H

#include "nodes/pathnodes.h"

#include "compat.h"
#include "policy/plans.h"

/* The policy function's planner support was called: the plan being made reads a protected table. */
extern void guard_note_policy(void);

/*
 * Is this the planning of a query, or of a part of one, that our planner hook was called with?
 * Only then will the plan be guarded, and guard_note_form() and guard_note_regular() reach it.
 */
extern bool guard_is_planning_query(PlannerInfo *root);
/* Is the innermost thing that our hooks know of a planning, not a running statement? */
extern bool guard_is_planning(void);
/* The plan that is made of root has a call in this form. */
extern void guard_note_form(PlannerInfo *root, PolicyCall call, PolicyForm form);
/*
 * The running statement stores an irregular row: plans on its table are made anew, here from the
 * next command on, elsewhere when it is committed. (Rows that no policy is asked about are found
 * out when such a plan starts.)
 */
extern void guard_note_irregular_row(void);
/* The plan rests on these indexes of irregular rows being empty (a list of OIDs). */
extern void guard_note_regular(List *indexes);

/*
 * Generation of the session under which the statement that now runs was started (0: nobody);
 * false when none of ours is running.
 */
extern bool guard_statement_generation(uint64 *generation);
extern void guard_init(void);

#endif /* SMART_FHIR_GUARD_H */
