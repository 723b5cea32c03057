/*
 * src/audit/failure.h
 *		Why a statement failed, as a record says it.
 */
#ifndef SMART_FHIR_AUDIT_FAILURE_H
#define SMART_FHIR_AUDIT_FAILURE_H

/* Why a statement failed. */
typedef struct AuditFailure
{
	int sqlstate;
	bool ours;	   /* raised by smart_fhir */
	char rule[48]; /* its stable code; "" for another's error */
} AuditFailure;

/* Of the error that is being handled, in PG_CATCH(). */
extern void failure_of_error(AuditFailure *failure);

#endif /* SMART_FHIR_AUDIT_FAILURE_H */
