/*
 * src/jose/to_jsonb.c
 *		The jsonb value of a JSON object that json_check() has let through. See src/jose/to_jsonb.h.
 *
 * A token's claims are read once for each token that a backend has not seen, and PostgreSQL's
 * lexer copies texts character by character. The checked grammar makes a walk of a few lines do: it
 * only cuts the text up, and hands the parts to PostgreSQL's own functions. Texts with
 * escapes go to jsonb_in().
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "compat.h"
#include "jose/jose.h"
#include "jose/to_jsonb.h"

/* More digits might not be in an int64. */
#define MAX_INTEGER_BYTES 18

static const char *
skip_space(const char *p)
{
	while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')
		p++;
	return p;
}

/* A string at its opening quote; returns what is behind it. */
static const char *
cut_string(const char *p, JsonbValue *value)
{
	const char *start = p + 1;

	p = strchr(start, '"');
	value->type = jbvString;
	value->val.string.val = unconstify(char *, start);
	value->val.string.len = (int) (p - start);
	return p + 1;
}

static const char *
cut_number(const char *p, JsonbValue *value)
{
	size_t len = strspn(p, "-0123456789.eE+");
	int64 integer = 0;

	value->type = jbvNumeric;
	if (len <= MAX_INTEGER_BYTES && strcspn(p, ".eE") >= len)
	{
		for (size_t i = *p == '-' ? 1 : 0; i < len; i++)
			integer = integer * 10 + (p[i] - '0');
		value->val.numeric = int64_to_numeric(*p == '-' ? -integer : integer);
	}
	else
		value->val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in,
																 CStringGetDatum(pnstrdup(p, len)),
																 ObjectIdGetDatum(InvalidOid),
																 Int32GetDatum(-1)));
	return p + len;
}

static const char *
cut_scalar(const char *p, JsonbValue *value)
{
	switch (*p)
	{
		case '"':
			return cut_string(p, value);
		case 't':
			value->type = jbvBool;
			value->val.boolean = true;
			return p + strlen("true");
		case 'f':
			value->type = jbvBool;
			value->val.boolean = false;
			return p + strlen("false");
		case 'n':
			value->type = jbvNull;
			return p + strlen("null");
		default:
			return cut_number(p, value);
	}
}

static JsonbValue *
read_object(const char *p, JsonbInState *state)
{
	bool is_object[JOSE_MAX_JSON_DEPTH] = {false};
	int depth = 0;

	for (;;)
	{
		JsonbValue value;

		/* a value, a member, or the end of what is open */
		p = skip_space(p);
		if (*p == ',')
			p = skip_space(p + 1);
		if (*p == '}' || *p == ']')
		{
			depth--;
			pushJsonbValue(state, *p == '}' ? WJB_END_OBJECT : WJB_END_ARRAY, NULL);
			if (depth == 0)
				return state->result;
			p++;
			continue;
		}
		if (depth > 0 && is_object[depth - 1])
		{
			p = skip_space(cut_string(p, &value));
			pushJsonbValue(state, WJB_KEY, &value);
			p = skip_space(p + 1);
		}
		if (*p == '{' || *p == '[')
		{
			is_object[depth++] = *p == '{';
			pushJsonbValue(state, *p == '{' ? WJB_BEGIN_OBJECT : WJB_BEGIN_ARRAY, NULL);
			p++;
			continue;
		}
		p = cut_scalar(p, &value);
		pushJsonbValue(state, is_object[depth - 1] ? WJB_VALUE : WJB_ELEM, &value);
	}
}

Jsonb *
json_object_to_jsonb(const char *text, size_t len)
{
	JsonbInState state = {0};
	const char *start = skip_space(text);

	if (*start != '{')
		return NULL;
	if (memchr(text, '\\', len) != NULL)
		return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	return JsonbValueToJsonb(read_object(start, &state));
}
