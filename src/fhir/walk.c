/*
 * src/fhir/walk.c
 *		Walks paths of the tables through jsonb, without allocating.
 *
 * Knows the layout of jsonb (utils/jsonb.h), and of FHIR only that arrays are implied.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/numeric.h"

#include "fhir/tables.h"

/* Larger objects are searched by core: no resource may cost its size at each look-up. */
#define MAX_SCANNED_KEYS 32

typedef struct Walk
{
	const FhirTables *tables;
	const FhirFilter *filter; /* or NULL */
	FhirVisit visit;
	void *arg;
} Walk;

typedef struct WalkStep
{
	const Walk *walk;
	const char *rest; /* steps that follow this value */
	int done;		  /* steps that led to it */
} WalkStep;

static bool
array_is(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data) &&
		   !JsonContainerIsScalar(value->val.binary.data);
}

/* Fill a value from an entry of an array or object, as fillJsonbValue() of core does. */
static void
entry_value(JsonbValue *value, JEntry entry, char *base, uint32 offset, uint32 len)
{
	if (JBE_ISSTRING(entry))
	{
		value->type = jbvString;
		value->val.string.val = base + offset;
		value->val.string.len = (int) len;
	}
	else if (JBE_ISBOOL(entry))
	{
		value->type = jbvBool;
		value->val.boolean = JBE_ISBOOL_TRUE(entry);
	}
	else if (JBE_ISNUMERIC(entry))
	{
		value->type = jbvNumeric;
		value->val.numeric = (Numeric) (base + INTALIGN(offset));
	}
	else if (JBE_ISCONTAINER(entry))
	{
		value->type = jbvBinary;
		value->val.binary.data = (JsonbContainer *) (base + INTALIGN(offset));
		value->val.binary.len = (int) (len - (INTALIGN(offset) - offset));
	}
	else
		value->type = jbvNull;
}

bool
fhir_each(const JsonbValue *value, FhirVisit visit, void *arg)
{
	JsonbContainer *array;
	char *base;
	uint32 n;
	uint32 offset = 0;

	if (!array_is(value))
		return visit(value, arg);

	array = value->val.binary.data;
	n = JsonContainerSize(array);
	base = (char *) &array->children[n];
	for (uint32 i = 0; i < n; i++)
	{
		JEntry entry = array->children[i];
		uint32 start = offset;
		JsonbValue item;

		if (i % 1024 == 1023)
			CHECK_FOR_INTERRUPTS();
		JBE_ADVANCE_OFFSET(offset, entry);
		entry_value(&item, entry, base, start, offset - start);
		if (visit(&item, arg))
			return true;
	}
	return false;
}

/*
 * Keys are sorted by length, then by bytes: in the small objects that resources are made of, one
 * pass over the lengths looks at the bytes of hardly any other key, and costs a fraction of
 * core's binary search, which adds up lengths at each step.
 */
bool
fhir_find(JsonbContainer *object, const char *name, int len, JsonbValue *value)
{
	int n = JsonContainerSize(object);
	char *base = (char *) &object->children[n * 2];
	uint32 offset = 0;
	uint32 start;
	int i;

	if (n > MAX_SCANNED_KEYS)
		return getKeyJsonValueFromContainer(object, name, len, value) != NULL;

	for (i = 0; i < n; i++)
	{
		start = offset;
		JBE_ADVANCE_OFFSET(offset, object->children[i]);
		if (offset - start < (uint32) len)
			continue;
		if (offset - start > (uint32) len)
			return false;
		if (base[start] == name[0] && memcmp(base + start, name, len) == 0)
			break;
	}
	if (i == n)
		return false;

	/* the values follow the keys, in their order */
	for (int between = i + 1; between < n + i; between++)
		JBE_ADVANCE_OFFSET(offset, object->children[between]);
	start = offset;
	JBE_ADVANCE_OFFSET(offset, object->children[n + i]);
	entry_value(value, object->children[n + i], base, start, offset - start);
	return true;
}

bool
fhir_member(const JsonbValue *value, const char *name, int len, JsonbValue *member)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data) &&
		   fhir_find(value->val.binary.data, name, len, member) && member->type != jbvNull;
}

bool
fhir_member_text(const JsonbValue *value, const char *name, int len, FhirText *text)
{
	JsonbValue member;

	if (!fhir_member(value, name, len, &member) || member.type != jbvString)
		return false;
	*text = (FhirText){member.val.string.val, member.val.string.len};
	return true;
}

/* One value (never the array that it stood in) and the steps that follow it. */
static bool
walk_value(const JsonbValue *value, void *arg)
{
	const WalkStep *step = arg;
	const Walk *walk = step->walk;
	const FhirFilter *filter = walk->filter;
	int len = (unsigned char) *step->rest;
	JsonbValue member;
	WalkStep next;

	if (filter != NULL && filter->step == step->done)
	{
		const char *name = walk->tables->strings + filter->element;
		const char *equals = walk->tables->strings + filter->equals;
		FhirText text;

		if (!fhir_member_text(value, name, (int) strlen(name), &text) ||
			!fhir_text_equals(text, (FhirText){equals, (int) strlen(equals)}))
			return false;
	}
	if (len == 0)
		return walk->visit(value, walk->arg);
	if (!fhir_member(value, step->rest + 1, len, &member))
		return false;
	next = (WalkStep){walk, step->rest + 1 + len, step->done + 1};
	return fhir_each(&member, walk_value, &next);
}

bool
fhir_walk(JsonbContainer *object, const FhirTables *tables, uint16 path, const FhirFilter *filter,
		  FhirVisit visit, void *arg)
{
	Walk walk = {tables, filter, visit, arg};
	WalkStep first = {&walk, tables->strings + path, 0};
	JsonbValue value;

	value.type = jbvBinary;
	value.val.binary.data = object;
	value.val.binary.len = 0;
	return walk_value(&value, &first);
}
