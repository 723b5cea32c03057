/*
 * src/policy/named.c
 *		What a record about records names. See named.h.
 *
 * Looks at the resource alone; knows no tables.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "compat.h"
#include "fhir/tables.h"
#include "policy/named.h"

PG_FUNCTION_INFO_V1(smart_followed_references);

#define MAX_PATH_BYTES 256

typedef struct Collect
{
	FhirText base_url;
	int n;
	int capacity;
	NamedRecord *named;
} Collect;

static bool
collect(const JsonbValue *value, void *arg)
{
	Collect *state = arg;
	NamedRecord *named;
	FhirReference parts;
	JsonbValue member;
	FhirText type;
	FhirText id;

	if (state->n == NAMED_MAX)
		return true;
	if (state->n == state->capacity)
	{
		state->capacity *= 2;
		state->named = repalloc(state->named, sizeof(NamedRecord) * state->capacity);
	}
	named = &state->named[state->n++];
	memset(named, 0, sizeof(NamedRecord));
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		return false;
	if (getKeyJsonValueFromContainer(value->val.binary.data, "reference", 9, &member) != NULL)
	{
		if (member.type == jbvString &&
			fhir_reference_parse((FhirText){member.val.string.val, member.val.string.len}, &parts))
		{
			named->type = parts.type;
			named->id = parts.id;
			named->local =
				parts.base.data == NULL ||
				(state->base_url.data != NULL && fhir_text_equals(parts.base, state->base_url));
		}
	}
	else if (fhir_text_literal(value, "resourceType", &type) &&
			 fhir_text_literal(value, "id", &id) && fhir_id_is_valid(id.data, id.len))
		*named = (NamedRecord){type, id, true};
	return false;
}

/* "entity.what" as the steps that fhir_walk() takes; false when it is no such path. */
static bool
path_steps(const char *path, char *steps)
{
	if (strlen(path) > MAX_PATH_BYTES)
		return false;
	for (;;)
	{
		size_t len = strcspn(path, ".");

		if (len == 0 || len > 127)
			return false;
		*steps++ = (char) len;
		memcpy(steps, path, len);
		steps += len;
		path += len;
		if (*path == '\0')
			break;
		path++;
	}
	*steps = '\0';
	return true;
}

static int
compare_texts(FhirText a, FhirText b)
{
	int order = memcmp(a.data ? a.data : "", b.data ? b.data : "", Min(a.len, b.len));

	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int
compare_named(const void *a, const void *b)
{
	const NamedRecord *left = a;
	const NamedRecord *right = b;
	int order = compare_texts(left->type, right->type);

	if (order == 0)
		order = compare_texts(left->id, right->id);
	return order != 0 ? order : (int) left->local - (int) right->local;
}

int
named_records(Jsonb *resource, const char *path, FhirText base_url, NamedRecord **named)
{
	char steps[MAX_PATH_BYTES + 2];
	FhirTables tables = {.strings = steps};
	Collect state = {fhir_base_url(base_url), 0, 8, NULL};
	int n = 0;

	state.named = palloc(sizeof(NamedRecord) * state.capacity);
	*named = state.named;
	if (resource == NULL || !JB_ROOT_IS_OBJECT(resource) || !path_steps(path, steps))
		return 0;
	if (fhir_walk(&resource->root, &tables, 0, NULL, collect, &state))
		return -1;
	*named = state.named;
	qsort(state.named, state.n, sizeof(NamedRecord), compare_named);
	for (int i = 0; i < state.n; i++)
		if (i == 0 || compare_named(&state.named[i], &state.named[n - 1]) != 0)
			state.named[n++] = state.named[i];
	return n;
}

bool
named_records_equal(const NamedRecord *a, int n_a, const NamedRecord *b, int n_b)
{
	if (n_a != n_b || n_a < 0)
		return false;
	for (int i = 0; i < n_a; i++)
		if (compare_named(&a[i], &b[i]) != 0)
			return false;
	return true;
}

/* smart_internal.followed_references(resource jsonb, path text, base_url text) -> text[] */
Datum
smart_followed_references(PG_FUNCTION_ARGS)
{
	FhirText base_url = {NULL, 0};
	NamedRecord *named;
	Datum *elements;
	int n;

	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	if (!PG_ARGISNULL(2))
	{
		text *given = PG_GETARG_TEXT_PP(2);

		base_url = (FhirText){VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given)};
	}
	n = named_records(PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0),
					  text_to_cstring(PG_GETARG_TEXT_PP(1)),
					  base_url,
					  &named);
	elements = palloc(sizeof(Datum) * Max(n, 1));
	for (int i = 0; i < n; i++)
		elements[i] = named[i].local ? PointerGetDatum(cstring_to_text(psprintf("%.*s/%.*s",
																				named[i].type.len,
																				named[i].type.data,
																				named[i].id.len,
																				named[i].id.data)))
									 : PointerGetDatum(cstring_to_text(""));
	if (n < 0)
	{
		n = 1;
		elements[0] = PointerGetDatum(cstring_to_text(""));
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}
