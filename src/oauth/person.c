/*
 * src/oauth/person.c
 *		The person at the browser. Knows nothing of requests and grants.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "compat.h"
#include "fhir/fhir.h"
#include "oauth/json.h"
#include "oauth/person.h"
#include "session/context.h"
#include "session/issuer.h"

bool
person_sub_is_valid(const char *sub)
{
	size_t len = strlen(sub);

	if (len < 1 || len > PERSON_MAX_SUB_BYTES)
		return false;
	for (const char *p = sub; *p != '\0'; p++)
		if (*p < 0x20 || *p > 0x7E)
			return false;
	return true;
}

static size_t
length_without_slash(const char *url)
{
	size_t len = strlen(url);

	return len > 0 && url[len - 1] == '/' ? len - 1 : len;
}

/* What stands behind the base; the text itself when it is relative. */
static const char *
relative(const char *fhir_user, const char *base)
{
	size_t len = length_without_slash(base);

	if (strncmp(fhir_user, base, len) == 0 && fhir_user[len] == '/')
		return fhir_user + len + 1;
	return fhir_user;
}

bool
person_set_fhir_user(Person *person, const char *fhir_user, const char *base)
{
	const char *local = relative(fhir_user, base);
	const char *slash = strchr(local, '/');

	if (slash == NULL || fhir_type_lookup(FHIR_R4, local, slash - local) < 0 ||
		!fhir_id_is_valid(slash + 1, strlen(slash + 1)))
		return false;
	person->type = pnstrdup(local, slash - local);
	person->fhir_user = psprintf("%.*s/%s", (int) length_without_slash(base), base, local);
	person->patient = strcmp(person->type, "Patient") == 0 ? pstrdup(slash + 1) : NULL;
	return true;
}

bool
person_is_user(const Person *person)
{
	static const char *const types[] = {
		"Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person"};

	for (size_t i = 0; person->type != NULL && i < lengthof(types); i++)
		if (strcmp(types[i], person->type) == 0)
			return true;
	return false;
}

bool
person_same_fhir_user(const char *a, const char *b, const char *base)
{
	return strcmp(relative(a, base), relative(b, base)) == 0;
}

/* user_patients(claims), as smart.login() calls it; *answered: it gave an array, an empty one too. */
static bool
is_patient_of_user(const Person *person, const char *patient, const char *client_id,
				   const OauthConfiguration *c, bool *answered)
{
	JsonObject claims;
	List *ids;
	ListCell *cell;
	int n_unusable;

	json_begin(&claims);
	json_add_text(&claims, "iss", c->issuer);
	json_add_text(&claims, "sub", person->sub);
	json_add_text(&claims, "fhirUser", person->fhir_user);
	json_add_text(&claims, "client_id", client_id);
	ids = session_context_call("user_patients",
							   c->user_patients,
							   JSONBOID,
							   JsonbPGetDatum(json_end(&claims)),
							   answered,
							   &n_unusable);
	foreach(cell, ids)
		if (strcmp(lfirst(cell), patient) == 0)
			return true;
	return false;
}

bool
person_may_choose(const Person *person, const char *patient, const char *client_id,
				  const OauthConfiguration *c)
{
	bool answered = false;
	bool staff = false;

	if (person->patient != NULL && strcmp(person->patient, patient) == 0)
		return true;
	if (c->user_patients != NULL && is_patient_of_user(person, patient, client_id, c, &answered))
		return true;
	if (answered || !c->user_sees_all || person->type == NULL)
		return false;
	/* whom user_sees_all means stands in the own row of smart.issuer, as for smart.login() */
	{
		const Issuer *issuer = issuer_lookup(c->issuer);

		staff = issuer != NULL &&
				issuer_texts_contain(&issuer->staff_types, person->type, strlen(person->type));
	}
	return staff;
}
