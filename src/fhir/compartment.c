/*
 * src/fhir/compartment.c
 *		The patients in whose compartment a resource is (R4 CompartmentDefinition/patient).
 *
 * Knows the generated tables and references; nothing of who asks.
 */
#include "postgres.h"

#include "fhir/tables.h"

/* From this many keys on they are sorted to drop repeats, so that no resource costs n^2. */
#define SORT_FROM 16

void
fhir_keys_init(FhirKeys *keys)
{
	keys->n = 0;
	keys->capacity = lengthof(keys->fixed);
	keys->keys = keys->fixed;
}

void
fhir_keys_reset(FhirKeys *keys)
{
	if (keys->keys != keys->fixed)
		pfree(keys->keys);
	fhir_keys_init(keys);
}

static void
keys_add(FhirKeys *keys, FhirText key)
{
	if (keys->n < SORT_FROM)
	{
		for (int i = 0; i < keys->n; i++)
		{
			if (fhir_text_equals(keys->keys[i], key))
				return;
		}
	}
	else if (fhir_text_equals(keys->keys[keys->n - 1], key))
		return;

	if (keys->n == keys->capacity)
	{
		int capacity = keys->capacity * 2;

		if (keys->keys == keys->fixed)
		{
			keys->keys = palloc(capacity * sizeof(FhirText));
			memcpy(keys->keys, keys->fixed, sizeof(keys->fixed));
		}
		else
			keys->keys = repalloc(keys->keys, capacity * sizeof(FhirText));
		keys->capacity = capacity;
	}
	keys->keys[keys->n++] = key;
}

static int
compare_keys(const void *a, const void *b)
{
	const FhirText *left = a;
	const FhirText *right = b;
	int order = memcmp(left->data, right->data, Min(left->len, right->len));

	return order != 0 ? order : (left->len > right->len) - (left->len < right->len);
}

static void
keys_drop_repeats(FhirKeys *keys)
{
	int n = 1;

	if (keys->n <= SORT_FROM)
		return;
	qsort(keys->keys, keys->n, sizeof(FhirText), compare_keys);
	for (int i = 1; i < keys->n; i++)
	{
		if (!fhir_text_equals(keys->keys[i], keys->keys[n - 1]))
			keys->keys[n++] = keys->keys[i];
	}
	keys->n = n;
}

typedef struct Collect
{
	FhirText base_url;
	FhirKeys *keys;
} Collect;

/*
 * A Reference. Its text decides; {resourceType, id} as Aidbox and Fhirbase store it
 * counts only without one.
 */
static bool
collect_reference(const JsonbValue *value, void *arg)
{
	Collect *collect = arg;
	JsonbValue member;
	FhirText text;
	FhirText key;

	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		return false;
	if (fhir_find_literal(value->val.binary.data, "reference", &member))
	{
		if (member.type == jbvString &&
			fhir_reference_key(
				(FhirText){member.val.string.val, member.val.string.len}, collect->base_url, &key))
			keys_add(collect->keys, key);
	}
	else if (fhir_text_literal(value, "resourceType", &text) && text.len == 7 &&
			 memcmp(text.data, "Patient", 7) == 0 && fhir_text_literal(value, "id", &key) &&
			 fhir_id_is_valid(key.data, key.len))
		keys_add(collect->keys, key);
	return false;
}

void
fhir_patients(const FhirResource *res, FhirReading reading, FhirKeys *keys)
{
	const FhirTables *tables = fhir_tables(res->version);
	Collect collect = {res->base_url, keys};
	const FhirType *type;

	if (res->type < 0)
		return;
	type = &tables->types[res->type];
	for (int i = 0; i < type->n_members; i++)
	{
		const FhirMember *member = &tables->members[type->first_member + i];

		if (reading == FHIR_SUBJECT && !member->is_subject)
			continue;
		if (!member->is_own_id)
			fhir_walk(res->json, tables, member->path, NULL, collect_reference, &collect);
		else if (res->id.data != NULL && fhir_id_is_valid(res->id.data, res->id.len))
			keys_add(keys, res->id);
	}
	keys_drop_repeats(keys);
}
