/*
 * src/policy/statement.h
 *		Which statement is being planned, and which one runs, under which session.
 *
 * State that the hooks of src/policy/guard.c keep and everything else in this layer asks. It
 * rests on nothing of the layer, so that folding, policies and indexes need not know the hooks.
 */
#ifndef SMART_FHIR_POLICY_STATEMENT_H
#define SMART_FHIR_POLICY_STATEMENT_H

#include "executor/execdesc.h"
#include "nodes/pathnodes.h"

#include "compat.h"

/* A call of our planner hook; on its stack. */
typedef struct PlannedStatement
{
	struct PlannedStatement *outer;
	const struct RunningStatement *outer_running;
	const Query *parse;
	MemoryContext context; /* of the marks */
	bool has_policy;
	List *marks; /* PlanInvalItems of the plan */
} PlannedStatement;

/* A statement with policies in its plan that was started, and not ended yet. */
typedef struct RunningStatement
{
	QueryDesc *query;
	uint64 generation; /* of the session that it was started under; 0: nobody */
} RunningStatement;

/* What the hooks tell. While a planning lasts, no statement runs. */
extern void statement_enter_planning(PlannedStatement *planned);
extern void statement_leave_planning(void);
/*
 * The innermost statement that runs is this one, NULL for one without policies; returns what
 * statement_leave() needs.
 */
extern const RunningStatement *statement_enter(const RunningStatement *running);
extern void statement_leave(const RunningStatement *outer);

/* A policy was met: the plan being made reads a protected table. */
extern void statement_note_policy(void);
/* Put a mark on the plan being made, once. */
extern void statement_mark(int cache_id, uint32 value);
/* Is the innermost thing that our hooks know of a planning, not a running statement? */
extern bool statement_is_planned(void);
/*
 * Is this the planning of a query, or of a part of one, that our planner hook was called with?
 * Only then will the plan be guarded, and marks reach it.
 */
extern bool statement_is_query(PlannerInfo *root);

/*
 * Generation of the session under which the statement that now runs was started (0: nobody);
 * false when none of ours is running.
 */
extern bool statement_generation(uint64 *generation);
/*
 * The running statement stores an irregular row: plans on its table are made anew, here from the
 * next command on, elsewhere when it is committed. (Rows that no policy is asked about are found
 * out when such a plan starts.)
 */
extern void statement_note_irregular_row(void);

#endif /* SMART_FHIR_POLICY_STATEMENT_H */
