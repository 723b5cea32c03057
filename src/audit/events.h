/*
 * src/audit/events.h
 *		Those that listen, each to be started once.
 */
#ifndef SMART_FHIR_AUDIT_EVENTS_H
#define SMART_FHIR_AUDIT_EVENTS_H

extern void session_events_init(void);
extern void utility_init(void);
extern void parallel_audit_init(void);
extern void statement_audit_init(void);

#endif /* SMART_FHIR_AUDIT_EVENTS_H */
