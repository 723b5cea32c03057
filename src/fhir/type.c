/*
 * src/fhir/type.c
 *		FHIR versions and resource types: names to table indexes and back.
 *
 * Knows the tables, not what a resource looks like.
 */
#include "postgres.h"

#include "fhir/tables.h"

const int fhir_revision = FHIR_TABLES_REVISION;

static const char *const version_names[FHIR_VERSIONS] = {"R4", "R4B", "R5"};

bool
fhir_version_parse(const char *text, FhirVersion *version)
{
	for (int i = 0; i < FHIR_VERSIONS; i++)
	{
		if (strcmp(text, version_names[i]) == 0)
		{
			*version = (FhirVersion) i;
			return true;
		}
	}
	return false;
}

const char *
fhir_version_name(FhirVersion version)
{
	return version_names[version];
}

const FhirTables *
fhir_tables(FhirVersion version)
{
	switch (version)
	{
		case FHIR_R4:
			return &fhir_tables_r4;
		case FHIR_R4B:
			return &fhir_tables_r4b;
		case FHIR_R5:
			return &fhir_tables_r5;
	}
	elog(ERROR, "unknown FHIR version %d", (int) version);
	return NULL; /* keep the compiler quiet */
}

int
fhir_type_lookup(FhirVersion version, const char *name, size_t len)
{
	/* a table's rows ask for one type again and again */
	static int latest[FHIR_VERSIONS];
	const FhirTables *tables = fhir_tables(version);
	const FhirType *known = &tables->types[latest[version]];
	int low = 0;
	int high = tables->n_types - 1;

	if (len == known->name_len && memcmp(name, tables->strings + known->name, len) == 0)
		return latest[version];
	while (low <= high)
	{
		int middle = (low + high) / 2;
		const FhirType *type = &tables->types[middle];
		int order = memcmp(name, tables->strings + type->name, Min(len, type->name_len));

		if (order == 0 && len == type->name_len)
			return latest[version] = middle;
		if (order < 0 || (order == 0 && len < type->name_len))
			high = middle - 1;
		else
			low = middle + 1;
	}
	return -1;
}

const char *
fhir_type_name(FhirVersion version, int type)
{
	const FhirTables *tables = fhir_tables(version);

	Assert(type >= 0 && type < tables->n_types);
	return tables->strings + tables->types[type].name;
}

int
fhir_type_count(FhirVersion version)
{
	return fhir_tables(version)->n_types;
}

bool
fhir_type_in_compartment(FhirVersion version, int type)
{
	const FhirTables *tables = fhir_tables(version);

	return type >= 0 && type < tables->n_types && tables->types[type].n_members > 0;
}

/*
 * Elements that name the subject and may be repeated, by the resource definitions of R4 to R5
 * (hl7.org/fhir, "Card."); the generated tables hold search parameters, which do not tell. A type
 * that is missing here, or too much, costs speed alone: protect() chooses an index by it.
 */
static const struct
{
	const char *type;
	FhirVersion since;
} repeated_subjects[] = {
	{"Account", FHIR_R4},
	{"Composition", FHIR_R5},
	{"Contract", FHIR_R4},
	{"DeviceAssociation", FHIR_R5},
	{"Provenance", FHIR_R4},
	{"Schedule", FHIR_R4},
};

bool
fhir_type_has_one_subject(FhirVersion version, int type)
{
	const FhirTables *tables = fhir_tables(version);
	const FhirMember *subject = NULL;
	const char *path;

	if (type < 0 || type >= tables->n_types)
		return false;
	for (size_t i = 0; i < lengthof(repeated_subjects); i++)
		if (version >= repeated_subjects[i].since &&
			strcmp(fhir_type_name(version, type), repeated_subjects[i].type) == 0)
			return false;
	for (int i = 0; i < tables->types[type].n_members; i++)
	{
		const FhirMember *member = &tables->members[tables->types[type].first_member + i];

		if (!member->is_subject)
			continue;
		if (subject != NULL)
			return false;
		subject = member;
	}
	if (subject == NULL)
		return false;
	/* one step: what is inside a repeated element is repeated */
	path = tables->strings + subject->path;
	return subject->is_own_id || path[1 + (unsigned char) path[0]] == '\0';
}
