/*
 * src/policy/guard.h
 *		Statements on protected tables: checked when they start and when they go on.
 */
#ifndef SMART_FHIR_GUARD_H
#define SMART_FHIR_GUARD_H

/* Put the hooks in place; they are called by PostgreSQL alone. */
extern void guard_init(void);

#endif /* SMART_FHIR_GUARD_H */
