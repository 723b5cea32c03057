/*
 * src/audit/unit.h
 *		One statement of the client, and what it and all inside it did to protected tables.
 */
#ifndef SMART_FHIR_AUDIT_UNIT_H
#define SMART_FHIR_AUDIT_UNIT_H

#include "lib/ilist.h"
#include "nodes/nodes.h"

#include "audit/failure.h"
#include "audit/protected.h"

typedef enum AuditAction
{
	AUDIT_READ,
	AUDIT_CREATE,
	AUDIT_UPDATE,
	AUDIT_DELETE
} AuditAction;

#define AUDIT_ROWS_UNKNOWN (-1)

typedef struct AuditUnit AuditUnit;

/* Begin one; the caller has it until unit_release(). */
extern AuditUnit *unit_begin(CmdType command, int64 query_id);
extern void unit_hold(AuditUnit *unit);
/* The last one to release it writes its record. */
extern void unit_release(AuditUnit *unit);

/* The one whose statement runs; NULL between statements. unit_enter() returns the one before. */
extern AuditUnit *unit_running(void);
extern AuditUnit *unit_enter(AuditUnit *unit);
/* Its number in the session. */
extern int64 unit_statement(const AuditUnit *unit);

/* Is what runs now to be told under who was logged in when the unit began? If not, a new record is begun. */
extern void unit_check_session(AuditUnit *unit);

/* Add rows, of the savepoint of the moment. */
extern void unit_use(AuditUnit *unit, ProtectedTable *table, AuditAction action, double rows);
/* A patient of a row; more: there were others, or they could not be had. */
extern bool unit_wants_patients(const AuditUnit *unit);
extern void unit_patient(AuditUnit *unit, const char *id, int len);
extern void unit_more_patients(AuditUnit *unit);
/* A statement inside was denied a table, and somebody may catch the error. */
extern void unit_denied_inside(AuditUnit *unit, ProtectedTable *table, AuditAction action,
							   const AuditFailure *failure);
extern bool unit_has(const AuditUnit *unit, const ProtectedTable *table);

/* The whole unit failed: its record is written now. */
extern void unit_fail(AuditUnit *unit, const AuditFailure *failure);

/* Of all units. */
extern void units_end_transaction(void);
extern void units_commit_sub(SubTransactionId sub, SubTransactionId parent);
extern void units_abort_sub(SubTransactionId sub, SubTransactionId parent);

#endif /* SMART_FHIR_AUDIT_UNIT_H */
