/*
 * src/policy/reason.c
 *		Why the decision is no, in words. See reason.h.
 *
 * Says what the session and its issuer's options are; decides nothing.
 */
#include "postgres.h"

#include "access/access.h"
#include "access/reach.h"
#include "compat.h"
#include "policy/reason.h"
#include "session/session.h"

static const char *
no_person(const Session *session, ScopeLevel level)
{
	if (level == SCOPE_LEVEL_PATIENT)
		return session->ignored_claims.n > 0
				   ? "the session has no patient in context: the token names none that can be used "
					 "(smart.session.ignored_claims)"
				   : "the session has no patient in context: the token names none";
	if (session->fhir_user == 0)
		return "the token has no fhirUser";
	return "fhirUser is no user here: it must be Type/id of a Patient, Practitioner, "
		   "PractitionerRole, "
		   "RelatedPerson or Person, bare or under an accepted aud of the token or a base_url";
}

/* Is the type of fhirUser, which has been found usable, one of the issuer's staff? */
static bool
is_staff(const Session *session, const Issuer *issuer)
{
	const char *text = session_text(session, session->fhir_user);
	const char *slash = text == NULL ? NULL : strrchr(text, '/');
	const char *type = slash;

	if (slash == NULL)
		return false;
	while (type > text && type[-1] != '/')
		type--;
	return issuer_texts_contain(&issuer->staff_types, type, slash - type);
}

/* The user's level is for listed patients, and there are none. */
static const char *
no_patients_of_user(const Session *session)
{
	const Issuer *issuer = issuer_lookup(session_text(session, session->issuer));

	if (issuer == NULL)
		return "fhirUser has no patients";
	if (issuer->user_patients == NULL)
		return issuer->user_sees_all ? "user_sees_all is for staff_types, which fhirUser is not "
									   "of, and the issuer has no user_patients"
									 : "fhirUser is no Patient, and the issuer has neither "
									   "user_patients nor user_sees_all";
	if (!issuer->user_sees_all)
		return "the issuer's user_patients gives fhirUser no patient, and user_sees_all is off";
	return is_staff(session, issuer)
			   ? "the issuer's user_patients gives fhirUser no patient, and wins over user_sees_all"
			   : "the issuer's user_patients gives fhirUser no patient, and user_sees_all is for "
				 "staff_types, which fhirUser is not of";
}

const char *
policy_reason_text(const Session *session, AccessReason reason, ScopeLevel level, bool of_type)
{
	switch (reason)
	{
		case ACCESS_ALLOWED:
			return "level, type, letter, parameters and patient fit";
		case ACCESS_NOT_A_RESOURCE:
			return of_type ? "no FHIR version has a resource type of this name"
						   : "this is no resource of the table's type and FHIR version";
		case ACCESS_BASE_URL:
			return "the token does not open the FHIR base of this table (aud, base_urls)";
		case ACCESS_NO_SCOPE:
			return of_type ? "no scope of the session holds the letter for this type"
						   : "the scope does not hold the letter";
		case ACCESS_CONSTRAINT:
			return "a search parameter of the scope does not match";
		case ACCESS_NO_PERSON:
			return no_person(session, level);
		case ACCESS_OUTSIDE:
			return "the type is in no patient's compartment, and is not shared";
		case ACCESS_OTHER_PATIENT:
			if (level == SCOPE_LEVEL_USER &&
				access_reached_patients(session, SCOPE_LEVEL_USER).n == 0)
				return no_patients_of_user(session);
			return "the record is not about a patient of the session, or not only";
		case ACCESS_SHARED_WRITE:
			return "shared types are written under system/, or user/ with user_sees_all by "
				   "staff_types";
	}
	return "";
}
