/*
 * src/oauth/narrower.c
 *		Granular scopes: US Core 6.1 and later, "SMART on FHIR obligations and capabilities".
 */
#include "postgres.h"

#include "compat.h"
#include "oauth/narrower.h"
#include "scope/letters.h"

#define OBSERVATION_CATEGORY "http://terminology.hl7.org/CodeSystem/observation-category|"
#define CONDITION_CATEGORY "http://terminology.hl7.org/CodeSystem/condition-category|"
#define US_CORE "http://hl7.org/fhir/us/core/CodeSystem/"

typedef struct Narrower
{
	const char *resource_type;
	const char *category;
} Narrower;

static const Narrower narrower[] = {
	{"Condition", CONDITION_CATEGORY "encounter-diagnosis"},
	{"Condition", CONDITION_CATEGORY "problem-list-item"},
	{"Condition", US_CORE "condition-category|health-concern"},
	{"Observation", OBSERVATION_CATEGORY "laboratory"},
	/* US Core's clinical tests */
	{"Observation", OBSERVATION_CATEGORY "procedure"},
	{"Observation", OBSERVATION_CATEGORY "social-history"},
	{"Observation", OBSERVATION_CATEGORY "survey"},
	{"Observation", OBSERVATION_CATEGORY "vital-signs"},
	{"Observation", US_CORE "us-core-category|sdoh"},
};

List *
narrower_scopes(const ScopeItem *item)
{
	static const char *const levels[] = {"patient", "user", "system"};
	List *scopes = NIL;
	char letters[8];

	if (item->kind != SCOPE_KIND_RESOURCE || item->n_params > 0)
		return NIL;
	for (size_t i = 0; i < lengthof(narrower); i++)
		if (strcmp(narrower[i].resource_type, item->resource_type) == 0)
			scopes = lappend(scopes,
							 psprintf("%s/%s.%s?category=%s",
									  levels[item->level],
									  item->resource_type,
									  scope_permissions_text(item->permissions, letters),
									  narrower[i].category));
	return scopes;
}
