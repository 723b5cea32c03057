/*
 * src/oauth/json.c
 *		Making and reading jsonb objects, member by member. Knows nothing of OAuth.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/fmgrprotos.h"

#include "compat.h"
#include "oauth/json.h"

static void
push_key(JsonObject *object, const char *name)
{
	JsonbValue key;

	key.type = jbvString;
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = (int) strlen(name);
	pushJsonbValue(&object->state, WJB_KEY, &key);
}

/* A container goes in part by part; pushJsonbValue() unpacks it. */
static void
push_jsonb(JsonObject *object, JsonbIteratorToken kind, const Jsonb *json)
{
	JsonbValue value;

	if (JB_ROOT_IS_SCALAR(json))
	{
		(void) JsonbExtractScalar(unconstify(JsonbContainer *, &json->root), &value);
		pushJsonbValue(&object->state, kind, &value);
		return;
	}
	value.type = jbvBinary;
	value.val.binary.data = unconstify(JsonbContainer *, &json->root);
	value.val.binary.len = (int) VARSIZE_ANY_EXHDR(json);
	pushJsonbValue(&object->state, kind, &value);
}

static void
push_text(JsonObject *object, JsonbIteratorToken kind, const char *text)
{
	JsonbValue value;

	value.type = jbvString;
	value.val.string.val = pstrdup(text);
	value.val.string.len = (int) strlen(text);
	pushJsonbValue(&object->state, kind, &value);
}

void
json_begin(JsonObject *object)
{
	memset(object, 0, sizeof(*object));
	pushJsonbValue(&object->state, WJB_BEGIN_OBJECT, NULL);
}

void
json_add_text(JsonObject *object, const char *name, const char *text)
{
	if (text == NULL)
		return;
	push_key(object, name);
	push_text(object, WJB_VALUE, text);
}

void
json_add_int(JsonObject *object, const char *name, int64 number)
{
	JsonbValue value;

	push_key(object, name);
	value.type = jbvNumeric;
	value.val.numeric = int64_to_numeric(number);
	pushJsonbValue(&object->state, WJB_VALUE, &value);
}

void
json_add_bool(JsonObject *object, const char *name, bool boolean)
{
	JsonbValue value;

	push_key(object, name);
	value.type = jbvBool;
	value.val.boolean = boolean;
	pushJsonbValue(&object->state, WJB_VALUE, &value);
}

void
json_add_null(JsonObject *object, const char *name)
{
	JsonbValue value;

	push_key(object, name);
	value.type = jbvNull;
	pushJsonbValue(&object->state, WJB_VALUE, &value);
}

void
json_add_jsonb(JsonObject *object, const char *name, const Jsonb *value)
{
	if (value == NULL)
		return;
	push_key(object, name);
	push_jsonb(object, WJB_VALUE, value);
}

void
json_add_texts(JsonObject *object, const char *name, List *texts)
{
	ListCell *cell;

	push_key(object, name);
	pushJsonbValue(&object->state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, texts)
		push_text(object, WJB_ELEM, lfirst(cell));
	pushJsonbValue(&object->state, WJB_END_ARRAY, NULL);
}

void
json_add_array(JsonObject *object, const char *name, List *values)
{
	ListCell *cell;

	push_key(object, name);
	pushJsonbValue(&object->state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, values)
		push_jsonb(object, WJB_ELEM, lfirst(cell));
	pushJsonbValue(&object->state, WJB_END_ARRAY, NULL);
}

void
json_add_members(JsonObject *object, const Jsonb *other)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue key, value;

	if (other == NULL || !JB_ROOT_IS_OBJECT(other))
		return;
	it = JsonbIteratorInit(unconstify(JsonbContainer *, &other->root));
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		pushJsonbValue(&object->state, WJB_KEY, &key);
		(void) JsonbIteratorNext(&it, &value, true);
		pushJsonbValue(&object->state, WJB_VALUE, &value);
	}
}

Jsonb *
json_end(JsonObject *object)
{
	pushJsonbValue(&object->state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(object->state.result);
}

bool
json_find(const Jsonb *object, const char *name, JsonbValue *value)
{
	return object != NULL && JB_ROOT_IS_OBJECT(object) &&
		   getKeyJsonValueFromContainer(
			   unconstify(JsonbContainer *, &object->root), name, (int) strlen(name), value) !=
			   NULL;
}

bool
json_has(const Jsonb *object, const char *name)
{
	JsonbValue value;

	return json_find(object, name, &value);
}

char *
json_text(const Jsonb *object, const char *name)
{
	JsonbValue value;

	if (!json_find(object, name, &value) || value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

Jsonb *
json_from_value(JsonbValue *value)
{
	return JsonbValueToJsonb(value);
}

Jsonb *
json_member(const Jsonb *object, const char *name)
{
	JsonbValue value;

	return json_find(object, name, &value) ? json_from_value(&value) : NULL;
}

bool
json_is_true(const Jsonb *object, const char *name)
{
	JsonbValue value;

	return json_find(object, name, &value) && value.type == jbvBool && value.val.boolean;
}

int64
json_int(const Jsonb *object, const char *name, int64 if_absent)
{
	JsonbValue value;
	Datum number;
	Datum whole;

	if (!json_find(object, name, &value) || value.type != jbvNumeric ||
		numeric_is_nan(value.val.numeric) || numeric_is_inf(value.val.numeric))
		return if_absent;
	number = NumericGetDatum(value.val.numeric);
	whole = DirectFunctionCall2(numeric_trunc, number, Int32GetDatum(0));
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, number, whole)) ||
		DatumGetBool(DirectFunctionCall2(
			numeric_gt, number, NumericGetDatum(int64_to_numeric(PG_INT64_MAX)))) ||
		DatumGetBool(DirectFunctionCall2(
			numeric_lt, number, NumericGetDatum(int64_to_numeric(PG_INT64_MIN)))))
		return if_absent;
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, number));
}

List *
json_texts(const Jsonb *object, const char *name)
{
	JsonbValue value;
	JsonbIterator *it;
	JsonbIteratorToken token;
	List *texts = NIL;

	if (!json_find(object, name, &value) || value.type != jbvBinary ||
		!JsonContainerIsArray(value.val.binary.data))
		return NIL;
	it = JsonbIteratorInit(value.val.binary.data);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
		if (token == WJB_ELEM && value.type == jbvString)
			texts = lappend(texts, pnstrdup(value.val.string.val, value.val.string.len));
	return texts;
}

bool
json_texts_have(const Jsonb *object, const char *name, const char *text)
{
	List *texts = json_texts(object, name);
	ListCell *cell;

	foreach(cell, texts)
		if (strcmp(lfirst(cell), text) == 0)
			return true;
	return false;
}
