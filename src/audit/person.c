/*
 * src/audit/person.c
 *		Who acts, and for whom, in clear or hashed. Knows nothing of what was done.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "compat.h"
#include "audit/identity.h"
#include "audit/person.h"
#include "audit/settings.h"
#include "scope/types.h"
#include "session/key_file.h"

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

/* ---- of sessions: a token that comes again and again is written once ---- */

#define KNOWN_PERSONS 64
#define LONGEST_KNOWN 4096

typedef struct KnownPerson
{
	Session *session; /* a copy */
	bool hashed;
	uint64 key_generation;
	int len; /* of the members */
	int all; /* and of the patients behind them */
	char *json;
} KnownPerson;

static KnownPerson known[KNOWN_PERSONS];

/* The same token, under the same issuer's options: all but what is of this login. */
static bool
is_same(const Session *a, const Session *b)
{
	return a->size == b->size &&
		   memcmp(&a->issuer, &b->issuer, offsetof(Session, kind) - offsetof(Session, issuer)) ==
			   0 &&
		   memcmp(&a->patients, &b->patients, sizeof(a->patients)) == 0 &&
		   memcmp(a + 1, b + 1, a->size - sizeof(Session)) == 0;
}

static KnownPerson *
place_of(const Session *session)
{
	const char *name = session_text(session, session->jti);

	if (name == NULL)
		name = session_text(session, session->subject);
	if (name == NULL)
		name = "";
	return &known[hash_bytes((const unsigned char *) name, strlen(name)) % KNOWN_PERSONS];
}

static void
put_patients(AuditText *out, const Session *session)
{
	AuditPatients patients;
	const char *id = session_texts_first(session, session->patients);

	patients_begin(&patients, out);
	for (int i = 0; i < session->patients.n && !patients.more; i++, id = session_texts_next(id))
		patients_add(&patients, id);
	patients_end(&patients);
}

static void
put_session(AuditText *out, const Session *session)
{
	AuditPerson person = {
		.issuer = session_text(session, session->issuer),
		.client_id = session_text(session, session->client_id),
		.subject = session_text(session, session->subject),
		.fhir_user = session_text(session, session->fhir_user),
		.encounter = session_text(session, session->encounter),
		.jti = session_text(session, session->jti),
		.scope = session_text(session, session->scope),
	};

	person_members(out, &person);
}

/* Write it, and keep it where that is small. */
static void
write_known(KnownPerson *place, const Session *session)
{
	char json[LONGEST_KNOWN];
	AuditText text = {json, 0, sizeof(json), false};
	MemoryContext memory = TopMemoryContext;

	if (place->session != NULL)
	{
		pfree(place->session);
		pfree(place->json);
		place->session = NULL;
	}
	if (session->size > LONGEST_KNOWN)
		return;
	put_session(&text, session);
	place->len = text.len;
	put_patients(&text, session);
	place->all = text.len;
	place->hashed = audit_hashes_identities();
	place->key_generation = key_file_generation();
	if (text.clipped)
		return;
	place->json = MemoryContextAlloc(memory, Max(text.len, 1));
	memcpy(place->json, json, text.len);
	place->session = memcpy(MemoryContextAlloc(memory, session->size), session, session->size);
}

void
person_of_session(AuditText *out, const Session *session, bool patients)
{
	KnownPerson *place = place_of(session);

	if (place->session == NULL || place->hashed != audit_hashes_identities() ||
		place->key_generation != key_file_generation() || !is_same(place->session, session))
		write_known(place, session);
	if (place->session != NULL)
		(void) text_raw(out, place->json, patients ? place->all : place->len);
	else
	{
		put_session(out, session);
		if (patients)
			put_patients(out, session);
	}
	text_member(out, "interaction", session_interaction_name(session->interaction_name));
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
