/*
 * src/fhir/resource.c
 *		A resource: its type and id, from the JSON or from the row that it stands in.
 *
 * Raises nothing. What cannot be a resource is refused, and then nothing may be allowed.
 */
#include "postgres.h"

#include "compat.h"
#include "fhir/tables.h"

/* Most resources are about as large, without their narrative. */
#define PREFETCH_BYTES 1024
#define PREFETCH_LINE 64

bool
fhir_resource_init(FhirResource *res, JsonbContainer *json, FhirVersion version, FhirText row_type,
				   FhirText row_id, FhirText base_url)
{
	JsonbValue value;

	if (json == NULL || !JsonContainerIsObject(json))
		return false;

	/* rows mostly come from cold memory, and what is read next lies scattered over them */
	for (int i = PREFETCH_LINE; i < PREFETCH_BYTES; i += PREFETCH_LINE)
		compat_prefetch((const char *) json + i);
	res->json = json;
	res->version = version;
	res->base_url = fhir_base_url(base_url);

	if (fhir_find_literal(json, "resourceType", &value))
	{
		if (value.type != jbvString)
			return false;
		res->type_name = (FhirText){value.val.string.val, value.val.string.len};
		if (row_type.data != NULL && !fhir_text_equals(res->type_name, row_type))
			return false;
	}
	else if (row_type.data != NULL)
		res->type_name = row_type;
	else
		return false;
	res->type = fhir_type_lookup(version, res->type_name.data, res->type_name.len);

	if (!fhir_find_literal(json, "id", &value))
		res->id = row_id;
	else if (value.type == jbvString)
		res->id = (FhirText){value.val.string.val, value.val.string.len};
	else
		res->id = (FhirText){NULL, 0};
	return true;
}
