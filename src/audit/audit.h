/*
 * src/audit/audit.h
 *		The audit trail: all of it, started.
 */
#ifndef SMART_FHIR_AUDIT_H
#define SMART_FHIR_AUDIT_H

extern void audit_init(void);

#endif /* SMART_FHIR_AUDIT_H */
