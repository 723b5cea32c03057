/*
 * src/scope/constraint.c
 *		The constraints of a SMART scope: pairs, percent-decoding, alternatives.
 *
 * Pairs are split at "&" and the first "=", each part is decoded once, and only then are values split at
 * commas (RFC 3986 2.4). Everything happens in place: no decoded part is longer than it was. Alternatives
 * become terms of their own, within a budget, since several lists multiply. Raises nothing.
 */
#include "postgres.h"

#include "scope/constraint.h"
#include "scope/set.h"

/* One pair of a token: a name and its alternatives, contiguous and NUL-terminated. */
typedef struct Pair
{
	char *name;
	char *values;
	int n_values;
	size_t len; /* of the pair in the token */
} Pair;

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF. */
static bool
is_utf8(const unsigned char *text, size_t len)
{
	size_t i = 0;

	while (i < len)
	{
		unsigned char c = text[i++];
		unsigned char low = 0x80;
		unsigned char high = 0xBF;
		int more;

		if (c < 0x80)
			continue;
		if (c >= 0xC2 && c <= 0xDF)
			more = 1;
		else if (c >= 0xE0 && c <= 0xEF)
		{
			more = 2;
			if (c == 0xE0)
				low = 0xA0;
			else if (c == 0xED)
				high = 0x9F;
		}
		else if (c >= 0xF0 && c <= 0xF4)
		{
			more = 3;
			if (c == 0xF0)
				low = 0x90;
			else if (c == 0xF4)
				high = 0x8F;
		}
		else
			return false;
		while (more-- > 0)
		{
			if (i == len || text[i] < low || text[i] > high)
				return false;
			i++;
			low = 0x80;
			high = 0xBF;
		}
	}
	return true;
}

/* Percent-decode text[0..len) in place, once, and terminate it. The reason when it fails. */
static const char *
decode_in_place(char *text, size_t len)
{
	char *out = text;

	for (size_t i = 0; i < len; i++)
	{
		char c = text[i];

		if (strchr("=?#+", c) != NULL)
			return "a constraint holds =, ?, # or + that is not percent-encoded";
		if (c == '%')
		{
			int high = i + 2 < len ? hex_value(text[i + 1]) : -1;
			int low = i + 2 < len ? hex_value(text[i + 2]) : -1;

			if (high < 0 || low < 0)
				return "a percent sign is not followed by two hexadecimal digits";
			c = (char) (high * 16 + low);
			if (c == '\0')
				return "a constraint holds a NUL byte";
			i += 2;
		}
		*out++ = c;
	}
	*out = '\0';
	if (!is_utf8((unsigned char *) text, out - text))
		return "a constraint is not UTF-8 once decoded";
	return NULL;
}

/*
 * Cut a decoded value at commas that no backslash escapes; returns how many alternatives
 * there are. One, uncut, when an alternative is empty: as a whole it spoils the scope, and
 * the other alternatives alone would not.
 */
static int
cut_alternatives(char *value)
{
	int n = 1;
	bool empty = true;
	const char *end;

	for (char *p = value; *p != '\0'; p++)
	{
		if (*p == ',')
		{
			if (empty)
				return 1;
			n++;
			empty = true;
			continue;
		}
		empty = false;
		if (*p == '\\' && p[1] != '\0')
			p++;
	}
	if (empty || n == 1)
		return 1;
	end = value + strlen(value);
	for (char *p = value; p < end; p++)
	{
		if (*p == ',')
			*p = '\0';
		else if (*p == '\\')
			p++;
	}
	return n;
}

/* text[0..len) is one name=value; the reason when it is malformed. */
static const char *
parse_pair(char *text, size_t len, Pair *pair)
{
	char *equals = memchr(text, '=', len);
	const char *reason;
	const char *modifier;
	size_t name_len;

	if (len == 0)
		return "a constraint is empty";
	if (equals == NULL)
		return "a constraint has no \"=\"";
	name_len = equals - text;
	if (name_len == 0)
		return "a constraint has no parameter name";
	if (name_len + 1 == len)
		return "a constraint has no value";
	pair->len = len;
	pair->name = text;
	pair->values = equals + 1;
	reason = decode_in_place(pair->values, len - name_len - 1);
	if (reason == NULL)
		reason = decode_in_place(pair->name, name_len);
	if (reason != NULL)
		return reason;

	/* subject:Patient names a type; any other modifier changes what a list means */
	modifier = strchr(pair->name, ':');
	if (modifier != NULL && !(modifier[1] >= 'A' && modifier[1] <= 'Z'))
		pair->n_values = 1;
	else
		pair->n_values = cut_alternatives(pair->values);
	return NULL;
}

/* Take what the alternatives of a token multiply to from the budget; false when too much. */
static bool
spend(ScopeSplitBudget *budget, size_t head_len, const Pair *pairs, int n_pairs)
{
	double items = 1;
	double bytes;

	for (int i = 0; i < n_pairs; i++)
		items *= pairs[i].n_values;
	if (items == 1)
		return true;
	bytes = items * head_len;
	for (int i = 0; i < n_pairs; i++)
		bytes += items * (strlen(pairs[i].name) + 2) + items / pairs[i].n_values * pairs[i].len;
	if (items > budget->items || bytes > budget->bytes)
		return false;
	budget->items -= items;
	budget->bytes -= bytes;
	return true;
}

/* Add a term for each combination of alternatives. */
static void
add_combinations(ScopeSet *set, const ScopeTerm *head, const Pair *pairs, int n_pairs)
{
	int *at = palloc0(sizeof(int) * n_pairs);
	ScopeParam *current = palloc(sizeof(ScopeParam) * n_pairs);
	int turned;

	for (int i = 0; i < n_pairs; i++)
	{
		current[i].name = pairs[i].name;
		current[i].value = pairs[i].values;
	}
	do
	{
		ScopeTerm *term = scope_set_add(set);

		*term = *head;
		term->n_params = n_pairs;
		term->params = palloc(sizeof(ScopeParam) * n_pairs);
		memcpy(term->params, current, sizeof(ScopeParam) * n_pairs);

		/* the next combination: turn the first wheel that is not at its end */
		for (turned = 0; turned < n_pairs; turned++)
		{
			if (++at[turned] < pairs[turned].n_values)
			{
				current[turned].value += strlen(current[turned].value) + 1;
				break;
			}
			at[turned] = 0;
			current[turned].value = pairs[turned].values;
		}
	} while (turned < n_pairs);
	pfree(at);
	pfree(current);
}

const char *
scope_constraints_parse(char *text, ScopeSet *set, const ScopeTerm *head, size_t head_len,
						ScopeSplitBudget *budget, bool *limit)
{
	Pair *pairs;
	int n_pairs = 1;
	const char *reason = NULL;

	if (*text == '\0')
		return "the constraint is empty";
	for (char *p = text; *p != '\0'; p++)
		n_pairs += *p == '&';
	pairs = palloc(sizeof(Pair) * n_pairs);
	for (int i = 0; i < n_pairs && reason == NULL; i++)
	{
		size_t len = strcspn(text, "&");

		reason = parse_pair(text, len, &pairs[i]);
		text += len + 1;
	}
	if (reason == NULL && !spend(budget, head_len, pairs, n_pairs))
	{
		*limit = true;
		reason = "the alternatives of the constraints have too many combinations";
	}
	if (reason == NULL)
		add_combinations(set, head, pairs, n_pairs);
	pfree(pairs);
	return reason;
}
