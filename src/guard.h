/*
 * src/guard.h
 *		Statements on protected tables: checked when they start and when they go on.
 */
#ifndef SMART_FHIR_GUARD_H
#define SMART_FHIR_GUARD_H

/* The policy function's planner support was called: the plan being made reads a protected table. */
extern void guard_note_policy(void);
/*
 * Generation of the session under which the statement that now runs was started (0: nobody);
 * false when none of ours is running.
 */
extern bool guard_statement_generation(uint64 *generation);
extern void guard_init(void);

#endif							/* SMART_FHIR_GUARD_H */
