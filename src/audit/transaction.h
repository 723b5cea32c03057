/*
 * src/audit/transaction.h
 *		Which recorded writes may still be undone.
 */
#ifndef SMART_FHIR_AUDIT_TRANSACTION_H
#define SMART_FHIR_AUDIT_TRANSACTION_H

#include "audit/text.h"

/* A statement of this transaction is in the log as having written; 0: its number is not known. */
extern void transaction_note_write(int64 statement);
/* Which transaction, and savepoint in it, as members of its record. */
extern void transaction_members(AuditText *out);
/* Undone, with their transaction or savepoint: written into the log. */
extern void transaction_commit_sub(SubTransactionId sub, SubTransactionId parent);
extern void transaction_abort_sub(SubTransactionId sub);
extern void transaction_abort(void);
extern void transaction_forget(void);

/* Before ROLLBACK PREPARED: the transaction's number; 0: there is none of this name. */
extern uint64 transaction_prepared(const char *gid);
extern void transaction_rolled_back_prepared(const char *gid, uint64 xid);

#endif /* SMART_FHIR_AUDIT_TRANSACTION_H */
