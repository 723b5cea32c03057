/*
 * src/policy/statement.h
 *		Which statement is being planned, and which ones run, under which session.
 *
 * State that the hooks of src/policy/guard.c keep and everything else in this layer asks. It
 * rests on nothing of the layer, so that folding, policies and indexes need not know the hooks.
 */
#ifndef SMART_FHIR_POLICY_STATEMENT_H
#define SMART_FHIR_POLICY_STATEMENT_H

#include "executor/execdesc.h"
#include "lib/ilist.h"
#include "nodes/pathnodes.h"

#include "compat.h"

struct RunningStatement;

/* A call of our planner hook, on its stack, and what folding says of the plan that it makes. */
typedef struct PlannedStatement
{
	struct PlannedStatement *outer;
	const struct RunningStatement *outer_running;
	const Query *parse;
	bool has_policy;	   /* it reads a protected table */
	bool can_fold;		   /* it will carry marks, so that forms may be folded */
	MemoryContext context; /* of the lists */
	List *calls;		   /* lists of command, type and options, constants, of folded calls */
	List *forms;		   /* integers: the form of each */
	List *tables;		   /* OIDs of tables whose rows were taken for regular */
	List *indexes; /* OIDs of indexes that must be empty for that, 0 where partitions' must */
} PlannedStatement;

/* A statement with policies in its plan that was started, and not ended yet. */
typedef struct RunningStatement
{
	dlist_node node;
	QueryDesc *query;
	uint64 generation; /* of the session that it was started under; 0: nobody */
} RunningStatement;

/* ---- what the hooks tell ---- */

/* While a planning lasts, no statement runs. */
extern void statement_enter_planning(PlannedStatement *planned);
extern void statement_leave_planning(void);

/*
 * The innermost statement that runs is this one, NULL for one without policies; returns what
 * statement_leave() needs.
 */
extern const RunningStatement *statement_enter(const RunningStatement *running);
extern void statement_leave(const RunningStatement *outer);

/* A statement is known from its start until its executor state goes. */
extern void statement_started(RunningStatement *running);
extern void statement_ended(RunningStatement *running);
extern RunningStatement *statement_of(const QueryDesc *query);
extern bool statement_any_started(void);

/* ---- what folding tells ---- */

/*
 * Is this the planning of a query, or of a part of one, that our planner hook was called with,
 * whose plan will carry marks? Only then is a plan asked at its start whether its forms fit.
 */
extern bool statement_is_query(PlannerInfo *root);
/* A policy was met: the plan being made reads a protected table. */
extern void statement_note_policy(void);
/* A call was folded to a form of it. */
extern void statement_note_call(List *call, int form);
/* A table's rows were taken for regular; index InvalidOid: its partitions' are found later. */
extern void statement_note_regular(Oid table, Oid index);

/* ---- what others ask ---- */

/* Is the innermost thing that our hooks know of a planning, not a running statement? */
extern bool statement_is_planned(void);
/*
 * Generation of the session (0: nobody) under which the statement was started that now runs, or, when
 * none does, the one whose executor state this memory is of; false when there is none of ours.
 */
extern bool statement_generation(MemoryContext memory, uint64 *generation);
/*
 * The running statement stores an irregular row: plans on its table are made anew, here from the
 * next command on, elsewhere when it is committed. (Rows that no policy is asked about are found
 * out when such a plan starts.)
 */
extern void statement_note_irregular_row(void);

#endif /* SMART_FHIR_POLICY_STATEMENT_H */
