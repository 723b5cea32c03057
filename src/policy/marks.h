/*
 * src/policy/marks.h
 *		What a plan on protected tables says of itself.
 *
 * It travels in the plan: as the last entry of its range table, of a kind that PostgreSQL makes
 * for FROM-less queries and never looks into, so that copies of the plan hold it too.
 */
#ifndef SMART_FHIR_POLICY_MARKS_H
#define SMART_FHIR_POLICY_MARKS_H

#include "executor/execdesc.h"
#include "nodes/plannodes.h"

#include "compat.h"
#include "policy/statement.h"

typedef struct RangeTblEntry PlanMarks;

typedef enum PlanFit
{
	PLAN_FITS,
	PLAN_OF_ANOTHER_FORM, /* some call has another form under the session of the moment */
	PLAN_OF_REGULAR_ROWS  /* rows were taken for regular, and some are not, or may not be */
} PlanFit;

/*
 * Put on a plan what folding told. query: the number of what it was made of (src/policy/kept_query.h), to
 * be planned again when it does not fit (0: it cannot be). False when a partition that the plan reads has irregular rows: then it must
 * not be run; the next planning knows.
 */
extern bool marks_put(PlannedStmt *plan, const PlannedStatement *planned, uint64 query,
					  int cursor_options);

/* NULL: no policy was met when the plan was made. */
extern PlanMarks *marks_of(const PlannedStmt *plan);
/* The number of the query, or 0. */
extern uint64 marks_query(const PlanMarks *marks);
/* The plan starts: its query is kept as long as it. */
extern void marks_hold_query(PlanMarks *marks, PlannedStmt *plan);
extern int marks_cursor_options(const PlanMarks *marks);

/* Do the forms fit the session of the moment, and are the tables regular, before it starts? */
extern PlanFit marks_check(const PlanMarks *marks, Snapshot snapshot);
/* May it go on under the session of the moment, as far as the forms tell? */
extern bool marks_forms_hold(const PlanMarks *marks);
/* Of the forms that the calls have under the session of the moment. */
extern uint32 marks_forms_hash(const PlanMarks *marks);
/* Once it has started: are those partitions regular that it will read? False: the next planning knows. */
extern bool marks_check_partitions(const PlanMarks *marks, const QueryDesc *query);
/* Has the plan a form that shows rows without asking the session for each? */
extern bool marks_stand_alone(const PlanMarks *marks);

#endif /* SMART_FHIR_POLICY_MARKS_H */
