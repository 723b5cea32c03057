/*
 * src/fhir/search.c
 *		Search parameters as constraints: look up, compile, match.
 *
 * What one kind of parameter means stands in src/fhir/search_<kind>.c. Everything unknown,
 * unsupported or malformed is refused with a reason, never ignored: an ignored constraint
 * would widen the scope that holds it (smart-rules G-6).
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "fhir/search.h"

static const char reason_unknown_type[] = "unknown resource type";
static const char reason_unknown[] = "unknown search parameter";
static const char reason_modifier[] = "search modifiers are not supported";
static const char reason_chain[] = "chained search parameters are not supported";
static const char reason_result[] = "a result parameter is no constraint";
static const char reason_unsupported[] = "search parameter is not supported";
static const char reason_empty[] = "empty value";

/* Parameters that shape the answer of a search instead of narrowing it (G-7). */
static const char *const result_parameters[] = {"_contained",
												"_containedType",
												"_count",
												"_elements",
												"_format",
												"_graph",
												"_include",
												"_maxresults",
												"_offset",
												"_page",
												"_pretty",
												"_revinclude",
												"_score",
												"_sort",
												"_summary",
												"_total"};

static const FhirParam *
find_param(const FhirTables *tables, int first, int n, const char *name)
{
	int low = first;
	int high = first + n - 1;

	while (low <= high)
	{
		int middle = (low + high) / 2;
		int order = strcmp(name, tables->strings + tables->params[middle].name);

		if (order == 0)
			return &tables->params[middle];
		if (order < 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	return NULL;
}

/* The reason why a name is no parameter of any type, or NULL. */
static const char *
refuse_name(const char *name)
{
	if (strchr(name, ':') != NULL)
		return reason_modifier;
	if (strchr(name, '.') != NULL)
		return reason_chain;
	for (int i = 0; i < (int) lengthof(result_parameters); i++)
	{
		if (strcmp(name, result_parameters[i]) == 0)
			return reason_result;
	}
	return NULL;
}

static const FhirParam *
find_param_of_type(const FhirTables *tables, int type, const char *name)
{
	const FhirType *of = &tables->types[type];
	const FhirParam *param = find_param(tables, of->first_param, of->n_params, name);

	if (param == NULL)
		param = find_param(tables, tables->first_common, tables->n_common, name);
	return param;
}

/* Fill one alternative; buffer holds at least raw.len bytes. */
static bool
compile_alternative(const FhirConstraint *constraint, FhirText raw, char *buffer,
					FhirAlternative *alternative, const char **reason)
{
	if (raw.len == 0)
	{
		*reason = reason_empty;
		return false;
	}
	switch ((FhirParamKind) constraint->param->kind)
	{
		case FHIR_PARAM_TOKEN:
			return fhir_token_compile(raw, buffer, alternative, reason);
		case FHIR_PARAM_DATE:
			return fhir_date_compile(raw, buffer, alternative, reason);
		case FHIR_PARAM_REFERENCE:
			return fhir_reference_compile(constraint, raw, buffer, alternative, reason);
		case FHIR_PARAM_STRING:
		case FHIR_PARAM_URI:
			if (fhir_value_unescape(raw, buffer, &alternative->text))
				return true;
			*reason = "a backslash escapes nothing";
			return false;
		case FHIR_PARAM_NONE:
			break;
	}
	*reason = reason_unsupported;
	return false;
}

/* The constraint for a parameter that was found. NULL and *reason if the value is not valid. */
static FhirConstraint *
compile_param(FhirVersion version, int type, const FhirParam *param, const char *value,
			  const char **reason)
{
	const FhirTables *tables = fhir_tables(version);
	FhirText rest = {value, (int) strlen(value)};
	FhirConstraint *constraint;
	char *buffer;
	int n = 1;

	if (param->kind == FHIR_PARAM_NONE)
	{
		*reason = reason_unsupported;
		return NULL;
	}
	for (const char *c = value; *c != '\0'; c++)
		n += *c == ',';

	constraint = palloc0(offsetof(FhirConstraint, alternatives) + n * sizeof(FhirAlternative));
	constraint->tables = tables;
	constraint->param = param;
	constraint->version = version;
	constraint->type = type;
	constraint->is_id = strcmp(tables->strings + param->name, "_id") == 0;
	buffer = palloc(rest.len + 1);

	for (;;)
	{
		int comma = fhir_value_find(rest, ',');
		FhirText raw = {rest.data, comma < 0 ? rest.len : comma};

		if (!compile_alternative(constraint,
								 raw,
								 buffer + (rest.data - value),
								 &constraint->alternatives[constraint->n],
								 reason))
		{
			pfree(buffer);
			pfree(constraint);
			return NULL;
		}
		constraint->n++;
		if (comma < 0)
			return constraint;
		rest.data += comma + 1;
		rest.len -= comma + 1;
	}
}

FhirConstraint *
fhir_constraint_compile(FhirVersion version, int type, const char *name, const char *value,
						const char **reason)
{
	const FhirTables *tables = fhir_tables(version);
	const FhirParam *param;

	*reason = refuse_name(name);
	if (*reason != NULL)
		return NULL;
	if (type < 0 || type >= tables->n_types)
	{
		*reason = reason_unknown_type;
		return NULL;
	}
	param = find_param_of_type(tables, type, name);
	if (param == NULL)
	{
		*reason = reason_unknown;
		return NULL;
	}
	return compile_param(version, type, param, value, reason);
}

bool
fhir_constraint_check_any(FhirVersion version, const char *name, const char *value,
						  const char **reason)
{
	const FhirTables *tables = fhir_tables(version);
	MemoryContext context;
	MemoryContext old;
	uint32 tried = 0; /* one bit for each kind, another for one with a single target */
	bool found = false;

	*reason = refuse_name(name);
	if (*reason != NULL)
		return false;
	*reason = reason_unknown;

	context = AllocSetContextCreate(
		CurrentMemoryContext, "smart_fhir constraint check", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	for (int type = 0; type < tables->n_types && !found; type++)
	{
		const FhirParam *param = find_param_of_type(tables, type, name);
		uint32 bit;

		if (param == NULL)
			continue;
		bit = (uint32) 1 << (param->kind * 2 + (param->target >= 0));
		if (tried & bit)
			continue;
		tried |= bit;
		found = compile_param(version, type, param, value, reason) != NULL;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return found;
}

bool
fhir_constraint_matches(const FhirConstraint *constraint, const FhirResource *res)
{
	const FhirTables *tables = constraint->tables;
	FhirVisit visit = fhir_text_match;

	if (res->type != constraint->type || res->version != constraint->version)
		return false;
	if (constraint->is_id)
		return res->id.data != NULL && fhir_token_meets(constraint, res->id, (FhirText){NULL, 0});

	switch ((FhirParamKind) constraint->param->kind)
	{
		case FHIR_PARAM_TOKEN:
			visit = fhir_token_match;
			break;
		case FHIR_PARAM_DATE:
			visit = fhir_date_match;
			break;
		case FHIR_PARAM_REFERENCE:
			visit = fhir_reference_match;
			break;
		case FHIR_PARAM_STRING:
		case FHIR_PARAM_URI:
			break;
		case FHIR_PARAM_NONE:
			return false;
	}

	for (int i = 0; i < constraint->param->n_paths; i++)
	{
		const FhirParamPath *path = &tables->paths[constraint->param->first_path + i];
		const FhirFilter *filter = path->filter < 0 ? NULL : &tables->filters[path->filter];
		FhirMatch match = {constraint, res, path};

		if (fhir_walk(res->json, tables, path->path, filter, visit, &match))
			return true;
	}
	return false;
}
