/*
 * src/access/settings.c
 *		Settings that are defaults of smart.protect() and smart.permits().
 *
 * What a table was told stands in its policies' own text; changing a setting later changes no
 * protected table.
 */
#include "postgres.h"

#include "utils/guc.h"
#include "utils/varlena.h"

#include "access/access.h"
#include "access/settings.h"
#include "compat.h"

#define DEFAULT_SHARED_TYPES                                                                       \
	"Endpoint, HealthcareService, Location, Medication, Organization, Practitioner, "              \
	"PractitionerRole"

/*
 * smart_fhir.shared_types: resource types that hold no patient and that anyone with a covering
 * scope may read. Set by a superuser who knows that a type of the server holds none; not for
 * types that sometimes name a patient.
 */
static char *guc_shared_types = NULL;

/*
 * smart_fhir.compartment: how protect() reads compartment membership unless told. Set to full
 * where the formal definition of FHIR is wanted: performer, author and the like count as well.
 */
static int guc_compartment = FHIR_SUBJECT;

static const struct config_enum_entry compartment_options[] = {
	{"subject", FHIR_SUBJECT, false}, {"full", FHIR_FULL, false}, {NULL, 0, false}};

/* The parsed list: NUL-terminated names one after the other, ended by an empty one. */
static const char *shared_names = "";

static bool
check_shared_types(char **newval, void **extra, GucSource source)
{
	char *copy = pstrdup(*newval);
	char *at = copy;
	List *names = NIL;
	ListCell *cell;
	char *list;
	char *out;

	/* type names are case-sensitive, so SplitIdentifierString, which folds case, will not do */
	for (char *name = strtok_r(copy, ", \t\n", &at); name != NULL;
		 name = strtok_r(NULL, ", \t\n", &at))
	{
		bool known = false;

		for (int version = 0; version < FHIR_VERSIONS; version++)
			known = known || fhir_type_lookup(version, name, strlen(name)) >= 0;
		if (!known)
		{
			GUC_check_errdetail("\"%s\" is not a FHIR resource type.", name);
			return false;
		}
		names = lappend(names, name);
	}
	list = out = guc_extra_alloc(strlen(*newval) + 2);
	if (list == NULL)
		return false;
	foreach(cell, names)
		out = stpcpy(out, lfirst(cell)) + 1;
	*out = '\0';
	*extra = list;
	return true;
}

static void
assign_shared_types(const char *newval, void *extra)
{
	shared_names = extra;
}

const char *
access_shared_types(void)
{
	return shared_names;
}

bool
access_type_is_shared(const char *name, size_t len)
{
	return access_names_contain(shared_names, name, len);
}

bool
access_names_contain(const char *names, const char *name, size_t len)
{
	for (const char *at = names; *at; at += strlen(at) + 1)
		if (strlen(at) == len && memcmp(at, name, len) == 0)
			return true;
	return false;
}

FhirReading
access_default_reading(void)
{
	return guc_compartment;
}

void
access_init(void)
{
	DefineCustomStringVariable("smart_fhir.shared_types",
							   "Lists the resource types that hold no patient.",
							   "Rows of these types are readable under any level whose scope "
							   "covers them. Default of smart.protect(shared).",
							   &guc_shared_types,
							   DEFAULT_SHARED_TYPES,
							   PGC_SUSET,
							   GUC_LIST_INPUT,
							   check_shared_types,
							   assign_shared_types,
							   NULL);
	DefineCustomEnumVariable("smart_fhir.compartment",
							 "Sets how the patient compartment is read.",
							 "subject: the element that says whom the record is about; full: every "
							 "element of the definition. Default of smart.protect(compartment).",
							 &guc_compartment,
							 FHIR_SUBJECT,
							 compartment_options,
							 PGC_SUSET,
							 0,
							 NULL,
							 NULL,
							 NULL);
}
