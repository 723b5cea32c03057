/*
 * src/audit/watched.h
 *		Nodes of a running plan whose rows are looked at as they leave.
 */
#ifndef SMART_FHIR_AUDIT_WATCHED_H
#define SMART_FHIR_AUDIT_WATCHED_H

#include "nodes/execnodes.h"

#include "audit/unit.h"

/* A scan of a protected table, once it is ready to run and before it does. */
extern void watched_scan(ScanState *node, AuditUnit *unit);
/* What makes the rows that are inserted into one. */
extern void watched_insert(PlanState *node, Relation into, AuditUnit *unit);

#endif /* SMART_FHIR_AUDIT_WATCHED_H */
