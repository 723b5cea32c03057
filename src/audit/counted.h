/*
 * src/audit/counted.h
 *		The protected tables of one query, and the rows that it reads and changes there.
 */
#ifndef SMART_FHIR_AUDIT_COUNTED_H
#define SMART_FHIR_AUDIT_COUNTED_H

#include "executor/execdesc.h"

#include "audit/unit.h"

typedef struct CountedTables CountedTables;

/* NULL: the plan has no protected table. Allocates in CurrentMemoryContext. */
extern CountedTables *counted_begin(const PlannedStmt *plan);
/* Once its executor state is there: count from now on; patients: tell the unit whom rows are about. */
extern void counted_attach(CountedTables *counted, QueryDesc *query, bool reads, AuditUnit *unit,
						   bool patients);
/* Into the unit; reads: those too. */
extern void counted_gather(CountedTables *counted, AuditUnit *unit, bool reads);
/* The same, as what was denied inside a statement. */
extern void counted_gather_denied(CountedTables *counted, AuditUnit *unit,
								  const AuditFailure *failure);

extern void counted_end(CountedTables *counted);

#endif /* SMART_FHIR_AUDIT_COUNTED_H */
