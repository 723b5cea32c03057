/*
 * src/audit/record.h
 *		One record: begun, filled, written. There is room for one at a time.
 */
#ifndef SMART_FHIR_AUDIT_RECORD_H
#define SMART_FHIR_AUDIT_RECORD_H

#include "audit/text.h"

/* Longest JSON text of a record. */
#define RECORD_BYTES (16 * 1024)

/*
 * Begin a record with what each has: time, event, number, database, role, session, addresses. What is
 * added to the text that is returned stands behind it. Reads no catalog outside of a transaction, and
 * raises nothing then.
 */
extern AuditText *record_begin(const char *event);
/* End it with its mac, and write it into the server's log. */
extern void record_write(void);

/* Read the role's name while catalogs can be read: a record of an aborted transaction needs it. */
extern void record_note_role(void);
/* How many were written by this session. */
extern int64 record_count(void);
/* To be called at the end of a session that has written any. */
extern void record_at_exit(void (*callback)(int code, Datum arg));

#endif /* SMART_FHIR_AUDIT_RECORD_H */
