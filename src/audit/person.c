/*
 * src/audit/person.c
 *		Who acts, and for whom, in clear or hashed. Knows nothing of what was done.
 */
#include "postgres.h"

#include "compat.h"
#include "audit/identity.h"
#include "audit/person.h"
#include "audit/settings.h"
#include "scope/types.h"

/* Under the key, in clear, or not at all. */
static void
put_identity(AuditText *out, const char *name, IdentityKind kind, const char *value)
{
	char hash[IDENTITY_HASH_HEX + 1];

	if (value == NULL)
		return;
	if (kind != IDENTITY_JTI && !audit_hashes_identities())
		text_member(out, name, value);
	else if (identity_hash(kind, value, strlen(value), hash))
		text_member(out, name, hash);
}

/* The values of search parameters may name a patient. */
static void
put_scope(AuditText *out, const char *scope)
{
	char names[AUDIT_LONG_TEXT + 1];
	bool in_query = false;
	bool in_value = false;
	int len = 0;

	if (scope == NULL || !audit_hashes_identities())
	{
		text_long_member(out, "scope", scope);
		return;
	}
	for (const char *at = scope; *at != '\0' && len < AUDIT_LONG_TEXT; at++)
	{
		if (*at == ' ')
			in_query = in_value = false;
		else if (*at == '?')
			in_query = true;
		else if (*at == '&')
			in_value = false;
		if (in_value)
			continue;
		names[len++] = *at;
		in_value = in_query && *at == '=';
	}
	names[len] = '\0';
	text_long_member(out, "scope", names);
}

void
person_members(AuditText *out, const AuditPerson *person)
{
	text_member(out, "issuer", person->issuer);
	text_member(out, "client_id", person->client_id);
	put_identity(out, "subject", IDENTITY_SUBJECT, person->subject);
	put_identity(out, "fhir_user", IDENTITY_FHIR_USER, person->fhir_user);
	put_identity(out, "encounter", IDENTITY_ENCOUNTER, person->encounter);
	put_identity(out, "jti", IDENTITY_JTI, person->jti);
	put_scope(out, person->scope);
	text_member(out, "interaction", person->interaction);
}

void
patients_begin(AuditPatients *patients, AuditText *out)
{
	memset(patients, 0, sizeof(*patients));
	patients->out = out;
}

void
patients_add(AuditPatients *patients, const char *id)
{
	char hash[IDENTITY_HASH_HEX + 1];
	const char *shown = id;

	if (audit_hashes_identities())
	{
		if (!identity_hash(IDENTITY_PATIENT, id, strlen(id), hash))
			return;
		shown = hash;
	}
	if (!patients->open && !text_open(patients->out, "patients"))
		patients->more = true;
	else
	{
		patients->open = true;
		if (patients->n < AUDIT_MAX_PATIENTS && text_element(patients->out, shown))
			patients->n++;
		else
			patients->more = true;
	}
}

void
patients_end(AuditPatients *patients)
{
	if (patients->open)
		text_close(patients->out);
	if (patients->more)
		text_true(patients->out, "patients_more");
}

void
patients_of_session(AuditText *out, const Session *session)
{
	AuditPatients patients;
	const char *id = session_texts_first(session, session->patients);

	patients_begin(&patients, out);
	for (int i = 0; i < session->patients.n && !patients.more; i++, id = session_texts_next(id))
		patients_add(&patients, id);
	patients_end(&patients);
}

void
person_of_session(AuditText *out, const Session *session)
{
	AuditPerson person = {
		.issuer = session_text(session, session->issuer),
		.client_id = session_text(session, session->client_id),
		.subject = session_text(session, session->subject),
		.fhir_user = session_text(session, session->fhir_user),
		.encounter = session_text(session, session->encounter),
		.jti = session_text(session, session->jti),
		.scope = session_text(session, session->scope),
		.interaction = session_interaction_name(session->interaction_name),
	};

	person_members(out, &person);
}

void
person_of_claims(AuditText *out, const char *issuer, const SessionClaims *claims)
{
	AuditPerson person = {
		.issuer = issuer,
		.client_id = claims->client_id,
		.subject = claims->subject,
		.fhir_user = claims->fhir_user,
		.encounter = claims->encounter,
		.jti = claims->jti,
		.scope = claims->scope,
	};
	AuditPatients patients;

	person_members(out, &person);
	patients_begin(&patients, out);
	for (int i = 0; i < claims->n_patients; i++)
		patients_add(&patients, claims->patients[i]);
	patients_end(&patients);
}

/* Is there a scope of another level that reaches somebody? */
bool
person_is_of_patients(const Session *session)
{
	const char *scope = session_text(session, session->scope);

	if (session->reach[SCOPE_LEVEL_PATIENT] != REACH_PATIENTS)
		return false;
	for (; scope != NULL && *scope != '\0'; scope += strspn(scope, " "))
	{
		if (strncmp(scope, "user/", 5) == 0 || strncmp(scope, "system/", 7) == 0)
			return false;
		scope += strcspn(scope, " ");
	}
	return true;
}
