/*
 * src/fhir_resource.c
 *		A resource: its type and id, from the JSON or from the row that it stands in.
 *
 * Raises nothing. What cannot be a resource is refused, and then nothing may be allowed.
 */
#include "postgres.h"

#include "fhir_tables.h"

bool
fhir_resource_init(FhirResource *res, JsonbContainer *json, FhirVersion version, FhirText row_type,
				   FhirText row_id, FhirText base_url)
{
	JsonbValue value;

	if (json == NULL || !JsonContainerIsObject(json))
		return false;

	res->json = json;
	res->version = version;
	res->base_url = fhir_base_url(base_url);

	if (getKeyJsonValueFromContainer(json, "resourceType", 12, &value) != NULL)
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

	if (getKeyJsonValueFromContainer(json, "id", 2, &value) == NULL)
		res->id = row_id;
	else if (value.type == jbvString)
		res->id = (FhirText){value.val.string.val, value.val.string.len};
	else
		res->id = (FhirText){NULL, 0};
	return true;
}
