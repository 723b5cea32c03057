/*
 * src/audit/person.h
 *		Who acts, and for whom: the members of a record that come of a token.
 */
#ifndef SMART_FHIR_AUDIT_PERSON_H
#define SMART_FHIR_AUDIT_PERSON_H

#include "nodes/pg_list.h"

#include "audit/text.h"
#include "session/data.h"
#include "session/session.h"

/* Most patients that a record names. */
#define AUDIT_MAX_PATIENTS 100

/* All may be NULL. */
typedef struct AuditPerson
{
	const char *issuer;
	const char *client_id;
	const char *subject;
	const char *fhir_user;
	const char *encounter;
	const char *jti;
	const char *scope;
	const char *interaction;
} AuditPerson;

/* As smart_fhir.audit_identities says. */
extern void person_members(AuditText *out, const AuditPerson *person);
/* patients: those of the session too. */
extern void person_of_session(AuditText *out, const Session *session, bool patients);
extern void person_of_claims(AuditText *out, const char *issuer, const SessionClaims *claims);

/* Does the token reach rows of its patients alone? Then a record names those. */
extern bool person_is_of_patients(const Session *session);

/* Patients, one by one; nothing where they must not be named. */
typedef struct AuditPatients
{
	AuditText *out;
	bool open;
	bool more; /* than are named */
	int n;
} AuditPatients;

extern void patients_begin(AuditPatients *patients, AuditText *out);
extern void patients_add(AuditPatients *patients, const char *id);
extern void patients_end(AuditPatients *patients);

#endif /* SMART_FHIR_AUDIT_PERSON_H */
