/*
 * src/oauth/wording.c
 *		What people read on a consent page, in English: all texts of the extension for people are here.
 */
#include "postgres.h"

#include <ctype.h>

#include "lib/stringinfo.h"

#include "compat.h"
#include "oauth/wording.h"

typedef struct Word
{
	const char *name;
	const char *text;
} Word;

static const Word tokens[] = {
	{"openid", "Know who you are when you sign in"},
	{"fhirUser", "Know your own record as a user"},
	{"profile", "Know your profile as a user"},
	{"launch", "Know the context from which the app was opened"},
	{"launch/patient", "Know which patient is chosen"},
	{"launch/encounter", "Know which encounter is chosen"},
	{"offline_access", "Keep access when you are not using the app, until you withdraw it"},
	{"online_access", "Keep access while you are signed in"},
};

static const Word types[] = {
	{"*", "all health records"},
	{"AllergyIntolerance", "allergies"},
	{"Appointment", "appointments"},
	{"CarePlan", "care plans"},
	{"CareTeam", "care teams"},
	{"Condition", "conditions and diagnoses"},
	{"Coverage", "insurance coverage"},
	{"Device", "devices"},
	{"DiagnosticReport", "diagnostic reports"},
	{"DocumentReference", "documents"},
	{"Encounter", "visits and stays"},
	{"Goal", "health goals"},
	{"Immunization", "immunizations"},
	{"Location", "places of care"},
	{"Medication", "medications"},
	{"MedicationDispense", "dispensed medications"},
	{"MedicationRequest", "prescriptions"},
	{"Observation", "observations, such as laboratory results and vital signs"},
	{"Organization", "organizations"},
	{"Patient", "demographics, such as name and date of birth"},
	{"Practitioner", "practitioners"},
	{"Procedure", "procedures"},
	{"Provenance", "where records come from"},
	{"Questionnaire", "questionnaires"},
	{"QuestionnaireResponse", "answers to questionnaires"},
	{"RelatedPerson", "related persons"},
	{"ServiceRequest", "orders"},
};

static const Word categories[] = {
	{"encounter-diagnosis", "diagnoses made at a visit"},
	{"problem-list-item", "the problem list"},
	{"health-concern", "health concerns"},
	{"social-history", "social history"},
	{"laboratory", "laboratory results"},
	{"procedure", "results of clinical tests"},
	{"survey", "answers to surveys"},
	{"vital-signs", "vital signs"},
	{"sdoh", "social determinants of health"},
};

static const char *
find_word(const Word *words, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(words[i].name, name) == 0)
			return words[i].text;
	return NULL;
}

/* "NutritionOrder" -> "nutrition order records" */
static char *
spelled_out(const char *type)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (const char *p = type; *p != '\0'; p++)
	{
		if (isupper((unsigned char) *p) && p > type)
			appendStringInfoChar(&buf, ' ');
		appendStringInfoChar(&buf, (char) tolower((unsigned char) *p));
	}
	appendStringInfoString(&buf, " records");
	return buf.data;
}

/* "See, add and change" */
static char *
verbs(int permissions)
{
	const char *list[4];
	int n = 0;
	StringInfoData buf;

	if (permissions & (SCOPE_R | SCOPE_S))
		list[n++] = "see";
	if (permissions & SCOPE_C)
		list[n++] = "add";
	if (permissions & SCOPE_U)
		list[n++] = "change";
	if (permissions & SCOPE_D)
		list[n++] = "delete";
	initStringInfo(&buf);
	for (int i = 0; i < n; i++)
		appendStringInfo(&buf, "%s%s", i == 0 ? "" : i == n - 1 ? " and " : ", ", list[i]);
	if (buf.len > 0)
		buf.data[0] = (char) toupper((unsigned char) buf.data[0]);
	return buf.data;
}

/* What the parameters leave of the type. */
static char *
object_of(const ScopeItem *item)
{
	const char *text = find_word(types, lengthof(types), item->resource_type);
	StringInfoData buf;

	if (item->n_params == 1 && strcmp(item->params[0].name, "category") == 0)
	{
		const char *bar = strrchr(item->params[0].value, '|');
		const char *category = find_word(
			categories, lengthof(categories), bar != NULL ? bar + 1 : item->params[0].value);

		if (category != NULL)
			return pstrdup(category);
	}
	initStringInfo(&buf);
	appendStringInfoString(&buf, text != NULL ? text : spelled_out(item->resource_type));
	for (int i = 0; i < item->n_params; i++)
		appendStringInfo(&buf,
						 "%s%s is %s",
						 i == 0 ? ", only where " : " and ",
						 item->params[i].name,
						 item->params[i].value);
	return buf.data;
}

char *
wording_scope(const char *token, const ScopeItem *item)
{
	const char *text;

	if (item != NULL && item->kind == SCOPE_KIND_RESOURCE)
	{
		static const char *const whose[] = {
			" of the patient", " of the patients that you may see", " of all patients"};

		return psprintf("%s %s%s", verbs(item->permissions), object_of(item), whose[item->level]);
	}
	text = find_word(tokens, lengthof(tokens), token);
	return text != NULL ? pstrdup(text) : psprintf("Use %s", token);
}
