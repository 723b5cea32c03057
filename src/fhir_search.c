/*
 * src/fhir_search.c
 *		Search parameters as constraints.
 */
#include "postgres.h"

#include "fhir_tables.h"

FhirConstraint *
fhir_constraint_compile(FhirVersion version, int type, const char *name, const char *value, const char **reason)
{
	*reason = "not supported";
	return NULL;
}

bool
fhir_constraint_matches(const FhirConstraint *constraint, const FhirResource *res)
{
	return false;
}

bool
fhir_constraint_check_any(FhirVersion version, const char *name, const char *value, const char **reason)
{
	*reason = "not supported";
	return false;
}
