/*
 * src/session/build.c
 *		Claims and the issuer's options to one flat Session.
 *
 * Here the reach of each level is settled (design.md "How a row is decided"): whose rows
 * patient/, user/ and system/ can touch. What follows from claims and options alone is derived
 * first, so that a session can be compared with what its issuer, changed meanwhile, would give; then
 * the issuer's context functions are asked.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "fhir/fhir.h"
#include "scope/types.h"
#include "session/context.h"
#include "session/scope_claim.h"
#include "session/session.h"
#include "session/verify.h"

/* What claims and options say, before any context function was asked. */
typedef struct Derived
{
	SessionClaims claims;
	char *scope;
	char *grants;
	List *ignored;		   /* pairs: scope, reason */
	List *patients;		   /* named by the claims, or by fhirUser */
	SessionReach user;	   /* REACH_ALL, or REACH_PATIENTS where a function may say otherwise */
	char *user_as_patient; /* fhirUser is this Patient */
} Derived;

/* Raises 28000 for claims that contradict each other: session_verify_*() was asked before. */
static void
derive(const Issuer *issuer, Jsonb *claims, Derived *out)
{
	SessionClaims *read = &out->claims;
	JoseStatus status;

	memset(out, 0, sizeof(*out));
	status = session_claims_read(issuer, claims, read);
	if (status != JOSE_OK)
		session_refuse_for(status, read->problem);
	out->scope = session_scope_from_claim(
		read->scope, read->scope_malformed, issuer->levels, &out->grants, &out->ignored);

	if (read->user_type != NULL && strcmp(read->user_type, "Patient") == 0)
		out->user_as_patient = pstrdup(read->user_id);
	for (int i = 0; i < read->n_patients; i++)
		out->patients = lappend(out->patients, read->patients[i]);
	/* a claim that names no one patient is not made up for (OC-58) */
	if (!read->has_patient_claim && issuer->patient_from_fhir_user && out->user_as_patient != NULL)
		out->patients = list_make1(out->user_as_patient);

	out->user = REACH_NOTHING;
	if (out->user_as_patient != NULL)
		out->user = REACH_PATIENTS;
	else if (read->user_type != NULL)
		out->user = issuer->user_sees_all && issuer_texts_contain(&issuer->staff_types,
																  read->user_type,
																  strlen(read->user_type))
						? REACH_ALL
						: REACH_PATIENTS;
}

/* The session grows in a StringInfo; offset 0 is the Session itself, so 0 can mean absent. */
static int32
put_text(StringInfo buf, const char *text)
{
	int32 offset = buf->len;

	if (text == NULL)
		return 0;
	appendBinaryStringInfo(buf, text, strlen(text) + 1);
	return offset;
}

static SessionTexts
put_texts(StringInfo buf, List *texts)
{
	SessionTexts result = {0, buf->len};
	ListCell *cell;

	foreach(cell, texts)
	{
		(void) put_text(buf, lfirst(cell));
		result.n++;
	}
	return result;
}

/* What a context function answered and nobody can use is told like a claim. */
static void
tell_unusable(Derived *derived, const char *option, int n)
{
	if (n > 0)
		derived->claims.ignored = lappend(
			derived->claims.ignored,
			psprintf(n == 1 ? "%s: %d of the function's answers is no FHIR id, or one too many"
							: "%s: %d of the function's answers are no FHIR ids, or too many",
					 option,
					 n));
}

static List *
with_aliases(const Issuer *issuer, List *ids, Derived *derived)
{
	SessionIds all = {NIL, NULL};
	ListCell *cell;
	ListCell *alias;
	int n_unusable = 0;

	if (issuer->patient_aliases == NULL)
		return ids;
	foreach(cell, ids)
		session_ids_add(&all, lfirst(cell), strlen(lfirst(cell)));
	foreach(cell, ids)
	{
		bool answered;
		int n;
		List *more = session_context_call("patient_aliases",
										  issuer->patient_aliases,
										  TEXTOID,
										  CStringGetTextDatum(lfirst(cell)),
										  &answered,
										  &n);

		CHECK_FOR_INTERRUPTS();
		n_unusable += n;
		foreach(alias, more)
		{
			if (list_length(all.list) < MAX_CONTEXT_PATIENTS)
				session_ids_add(&all, lfirst(alias), strlen(lfirst(alias)));
			else
				n_unusable++;
		}
	}
	tell_unusable(derived, "patient_aliases", n_unusable);
	return all.list;
}

/*
 * Whom user/ reaches. user_patients, where it is given, is asked first about a user who is no Patient
 * and wins for whom it answers, an array without elements too: a user who has lost the last patient
 * must not see all of them. Where it does not (NULL), user_sees_all opens all to the staff.
 */
static SessionReach
user_reach(const SessionSource *source, Derived *derived, List **patients)
{
	const Issuer *issuer = source->issuer;
	bool answered;
	int n_unusable;

	if (derived->user_as_patient != NULL)
		*patients = with_aliases(issuer, list_make1(derived->user_as_patient), derived);
	else if (derived->user != REACH_NOTHING && issuer->user_patients != NULL)
	{
		*patients = session_context_call("user_patients",
										 issuer->user_patients,
										 JSONBOID,
										 JsonbPGetDatum(source->claims),
										 &answered,
										 &n_unusable);
		tell_unusable(derived, "user_patients", n_unusable);
		if (answered)
			return REACH_PATIENTS;
	}
	return derived->user;
}

Session *
session_build(const SessionSource *source)
{
	const Issuer *issuer = source->issuer;
	Derived derived;
	SessionClaims *claims = &derived.claims;
	StringInfoData buf;
	Session head;
	Session *session;
	List *patients;
	List *user_patients = NIL;
	List *audience = NIL;

	derive(issuer, source->claims, &derived);

	memset(&head, 0, sizeof(head));
	head.magic = SESSION_MAGIC;
	head.issuer_epoch = source->issuer_epoch;
	head.expires_at = source->times.has_exp ? source->times.exp : DT_NOEND;
	head.ends_at = source->times.has_exp ? source->times.exp + issuer->leeway_usecs : DT_NOEND;
	head.algorithm = source->algorithm;
	/* what assume() let pass needed no key */
	head.refuse_after = source->key_thumbprint == NULL ? DT_NOEND : issuer->refuse_after;

	patients = with_aliases(issuer, derived.patients, &derived);
	head.n_named = list_length(derived.patients);
	head.reach[SCOPE_LEVEL_PATIENT] = patients == NIL ? REACH_NOTHING : REACH_PATIENTS;
	head.reach[SCOPE_LEVEL_USER] = user_reach(source, &derived, &user_patients);
	head.reach[SCOPE_LEVEL_SYSTEM] = REACH_ALL;

	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, (char *) &head, sizeof(head));
	head.claims = MAXALIGN(buf.len);
	while (buf.len < head.claims)
		appendStringInfoChar(&buf, '\0');
	appendBinaryStringInfo(&buf, (char *) source->claims, VARSIZE(source->claims));
	head.issuer = put_text(&buf, issuer->issuer);
	head.subject = put_text(&buf, claims->subject);
	head.client_id = put_text(&buf, claims->client_id);
	head.jti = put_text(&buf, claims->jti);
	head.patient = head.n_named == 1 ? put_text(&buf, linitial(derived.patients)) : 0;
	head.encounter = put_text(&buf, claims->encounter);
	head.fhir_user = put_text(&buf, claims->fhir_user);
	head.scope = put_text(&buf, derived.scope);
	head.grants = put_text(&buf, derived.grants);
	head.typ = put_text(&buf, source->typ);
	head.key_thumbprint = put_text(&buf, source->key_thumbprint);
	head.aliases_function = put_text(&buf, issuer->patient_aliases);
	head.user_function = put_text(&buf, issuer->user_patients);
	head.patients = put_texts(&buf, patients);
	head.user_patients = put_texts(&buf, user_patients);
	for (int i = 0; i < claims->n_audience; i++)
		audience = lappend(audience, claims->audience[i]);
	head.audience = put_texts(&buf, audience);
	head.bases = put_texts(&buf, claims->bases);
	head.ignored = put_texts(&buf, derived.ignored);
	head.ignored.n /= 2;
	head.ignored_claims = put_texts(&buf, claims->ignored);
	head.size = buf.len;
	session = (Session *) buf.data;
	memcpy(session, &head, sizeof(head));
	return session;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Each text of the session's list is in the other one. */
static bool
texts_within(const Session *session, SessionTexts texts, List *list)
{
	const char *text = session_texts_first(session, texts);

	for (int i = 0; i < texts.n; i++, text = session_texts_next(text))
	{
		ListCell *cell;
		bool found = false;

		foreach(cell, list)
			found = found || strcmp(lfirst(cell), text) == 0;
		if (!found)
			return false;
	}
	return true;
}

/* Each token is in the other text, in the same order: both are what is left of one claim. */
static bool
grants_within(const char *grants, const char *others)
{
	for (; *grants != '\0'; grants += strspn(grants, " "))
	{
		size_t len = strcspn(grants, " ");

		for (;;)
		{
			size_t other = strcspn(others, " ");
			bool same = other == len && memcmp(grants, others, len) == 0;

			if (other == 0)
				return false;
			others += other;
			others += strspn(others, " ");
			if (same)
				break;
		}
		grants += len;
	}
	return true;
}

bool
session_is_still_given(const Session *session, const SessionSource *source)
{
	const Issuer *issuer = source->issuer;
	Derived derived;
	const char *named = session_texts_first(session, session->patients);
	ListCell *cell;

	derive(issuer, source->claims, &derived);
	if (list_length(derived.patients) != session->n_named)
		return false;
	foreach(cell, derived.patients)
	{
		if (strcmp(lfirst(cell), named) != 0)
			return false;
		named = session_texts_next(named);
	}
	return session->reach[SCOPE_LEVEL_USER] <= (int32) derived.user &&
		   same_text(session_text(session, session->aliases_function), issuer->patient_aliases) &&
		   same_text(session_text(session, session->user_function), issuer->user_patients) &&
		   same_text(session_text(session, session->encounter), derived.claims.encounter) &&
		   same_text(session_text(session, session->fhir_user), derived.claims.fhir_user) &&
		   same_text(session_text(session, session->client_id), derived.claims.client_id) &&
		   texts_within(session, session->bases, derived.claims.bases) &&
		   grants_within(session_text(session, session->grants), derived.grants);
}
