/*
 * src/audit/row_patients.h
 *		Whom the rows of a protected table are about.
 */
#ifndef SMART_FHIR_AUDIT_ROW_PATIENTS_H
#define SMART_FHIR_AUDIT_ROW_PATIENTS_H

#include "executor/tuptable.h"
#include "utils/rel.h"

#include "audit/unit.h"

typedef struct RowPatients RowPatients;

/* NULL: it cannot be told. The relation stays open meanwhile; allocates in CurrentMemoryContext. */
extern RowPatients *row_patients_begin(Relation rel);
/* Add those of one row to the unit. */
extern void row_patients_add(RowPatients *rows, TupleTableSlot *slot, AuditUnit *unit);

#endif /* SMART_FHIR_AUDIT_ROW_PATIENTS_H */
