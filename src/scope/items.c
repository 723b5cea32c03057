/*
 * src/scope/items.c
 *		SQL functions that look into a smart_scope: items, allows, has.
 */
#include "postgres.h"

#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "compat.h"
#include "scope/letters.h"
#include "scope/order.h"
#include "scope/parse.h"
#include "scope/scope.h"

static const char *const kind_names[] = {"resource", "launch", "other"};
static const char *const level_names[] = {"patient", "user", "system"};

/* [["category","..."], ...] */
static Jsonb *
params_jsonb(const ScopeItem *item)
{
	JsonbInState state = {0};

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < item->n_params; i++)
	{
		const char *texts[2] = {item->params[i].name, item->params[i].value};

		pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
		for (int j = 0; j < 2; j++)
		{
			JsonbValue value;

			/* decoded text is UTF-8, whatever the database is in */
			value.type = jbvString;
			value.val.string.val = pg_any_to_server(texts[j], (int) strlen(texts[j]), PG_UTF8);
			value.val.string.len = (int) strlen(value.val.string.val);
			pushJsonbValue(&state, WJB_ELEM, &value);
		}
		pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	}
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	return JsonbValueToJsonb(state.result);
}

PG_FUNCTION_INFO_V1(smart_scope_items);
Datum
smart_scope_items(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext row_context;
	ScopeList list;

	InitMaterializedSRF(fcinfo, 0);
	scope_value_list(PG_GETARG_SMART_SCOPE_P(0), &list);
	row_context =
		AllocSetContextCreate(CurrentMemoryContext, "smart_fhir scope item", ALLOCSET_SMALL_SIZES);
	for (int i = 0; i < list.n_items; i++)
	{
		const ScopeItem *item = &list.items[i];
		bool is_resource = item->kind == SCOPE_KIND_RESOURCE;
		MemoryContext old = MemoryContextSwitchTo(row_context);
		Datum values[6] = {0};
		bool nulls[6] = {false, false, !is_resource, !is_resource, !is_resource, false};
		char letters[6];

		CHECK_FOR_INTERRUPTS();
		values[0] = CStringGetTextDatum(item->text);
		values[1] = CStringGetTextDatum(kind_names[item->kind]);
		if (is_resource)
		{
			values[2] = CStringGetTextDatum(level_names[item->level]);
			values[3] = CStringGetTextDatum(item->resource_type);
			values[4] = CStringGetTextDatum(scope_permissions_text(item->permissions, letters));
		}
		values[5] = JsonbPGetDatum(params_jsonb(item));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_context);
	}
	MemoryContextDelete(row_context);
	return (Datum) 0;
}

static ScopeLevel
level_argument(const text *level)
{
	for (int i = 0; i < (int) lengthof(level_names); i++)
	{
		if (VARSIZE_ANY_EXHDR(level) == strlen(level_names[i]) &&
			memcmp(VARDATA_ANY(level), level_names[i], strlen(level_names[i])) == 0)
			return (ScopeLevel) i;
	}
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid value for parameter \"%s\"", "level"),
			errhint("Valid values are \"patient\", \"user\" and \"system\"."));
	return SCOPE_LEVEL_PATIENT; /* not reached */
}

PG_FUNCTION_INFO_V1(smart_scope_allows);
Datum
smart_scope_allows(PG_FUNCTION_ARGS)
{
	ScopeLevel level = level_argument(PG_GETARG_TEXT_PP(1));
	text *type = PG_GETARG_TEXT_PP(2);
	text *letters = PG_GETARG_TEXT_PP(3);
	int wanted = scope_permissions_parse(VARDATA_ANY(letters), VARSIZE_ANY_EXHDR(letters));
	ScopeList list;

	if (wanted == 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid value for parameter \"%s\"", "permissions"),
				errhint("Give letters of \"cruds\", in that order and each at most once."));
	/* what cannot be a type is not among "all types" */
	if (!scope_type_is_name(VARDATA_ANY(type), VARSIZE_ANY_EXHDR(type)))
		PG_RETURN_BOOL(false);
	scope_value_list(PG_GETARG_SMART_SCOPE_P(0), &list);
	for (int i = 0; i < list.n_items && wanted != 0; i++)
	{
		const ScopeItem *item = &list.items[i];

		if (item->kind != SCOPE_KIND_RESOURCE || item->level != level || item->n_params > 0)
			continue;
		if (strcmp(item->resource_type, "*") == 0 ||
			(strlen(item->resource_type) == VARSIZE_ANY_EXHDR(type) &&
			 memcmp(item->resource_type, VARDATA_ANY(type), VARSIZE_ANY_EXHDR(type)) == 0))
			wanted &= ~item->permissions;
	}
	PG_RETURN_BOOL(wanted == 0);
}

PG_FUNCTION_INFO_V1(smart_scope_has);
Datum
smart_scope_has(PG_FUNCTION_ARGS)
{
	text *token = PG_GETARG_TEXT_PP(1);
	const char *token_text = VARDATA_ANY(token);
	size_t token_len = VARSIZE_ANY_EXHDR(token);
	ScopeList list;
	ScopeList wanted;
	ScopeError error;

	/* one token, or it is nowhere */
	if (token_len == 0 || memchr(token_text, ' ', token_len) != NULL)
		PG_RETURN_BOOL(false);
	if (!scope_parse(token_text, token_len, &wanted, &error))
		PG_RETURN_BOOL(false);
	scope_value_list(PG_GETARG_SMART_SCOPE_P(0), &list);
	PG_RETURN_BOOL(scope_list_covers(&list, &wanted));
}
