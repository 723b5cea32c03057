/*
 * src/jose/json.c
 *		Strict check of a JSON text (RFC 8259) before jsonb sees it.
 *
 * jsonb keeps the last of two equal members, raises errors that quote the text, and
 * refuses some texts that RFC 8259 allows. The check here answers yes or no, without
 * recursion and in n log n time: what it lets through, jsonb_in() takes.
 * Pure: malloc and free only, so that it can be fuzzed alone; knows nothing of tokens.
 */
#include "postgres.h"

#include "jose/json.h"
#include "jose/utf8.h"

/* A member name, decoded; compared as bytes. */
typedef struct JsonName
{
	const char *data;
	size_t len;
} JsonName;

typedef struct JsonFrame
{
	bool is_object;
	size_t first_name; /* index of this object's first name in names */
} JsonFrame;

#define FIXED_NAMES 64

typedef struct JsonChecker
{
	const unsigned char *p;
	const unsigned char *end;
	const JsonRules *rules;
	int depth;
	JsonFrame frames[JSON_DEPTH_CAP];
	/* names of the objects that are open, innermost last */
	JsonName *names;
	size_t n_names;
	size_t names_capacity;
	JsonName fixed_names[FIXED_NAMES];
	/* decoded names that held an escape; as long as the text, made at first use */
	char *arena;
	size_t arena_used;
} JsonChecker;

/* numeric's limits: digits before and after the decimal point (numeric.c) */
#define NUMERIC_INTEGER_DIGITS 131072
#define NUMERIC_FRACTION_DIGITS 16383

/* ASCII characters that stand for themselves in a string. */
static const bool is_plain[256] = {
	[0x20 ... 0x21] = true,
	[0x23 ... 0x5B] = true,
	[0x5D ... 0x7F] = true,
};

static void
skip_space(JsonChecker *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\r' || *c->p == '\t'))
		c->p++;
}

/*
 * The escape at p, which is just behind the backslash: its character, or 0 when it is
 * none that jsonb takes (\u0000, a lone surrogate, an unknown letter). Moves p behind it.
 */
static uint32
scan_escape(JsonChecker *c)
{
	int high, low;

	if (c->p >= c->end)
		return 0;
	switch (*c->p++)
	{
		case '"':
			return '"';
		case '\\':
			return '\\';
		case '/':
			return '/';
		case 'b':
			return '\b';
		case 'f':
			return '\f';
		case 'n':
			return '\n';
		case 'r':
			return '\r';
		case 't':
			return '\t';
		case 'u':
			break;
		default:
			return 0;
	}
	high = utf8_hex4(c->p, c->end);
	if (high <= 0 || (high >= 0xDC00 && high <= 0xDFFF))
		return 0;
	c->p += 4;
	if (high < 0xD800 || high > 0xDBFF)
		return (uint32) high;
	if (c->end - c->p < 6 || c->p[0] != '\\' || c->p[1] != 'u')
		return 0;
	low = utf8_hex4(c->p + 2, c->end);
	if (low < 0xDC00 || low > 0xDFFF)
		return 0;
	c->p += 6;
	return 0x10000 + ((uint32) (high - 0xD800) << 10) + (uint32) (low - 0xDC00);
}

/*
 * A string; p is at its opening quote. With name, *name gets its decoded text: the raw
 * bytes when there is no escape, else a copy in the arena (never longer than the raw
 * text, so one arena of the text's length is enough for all).
 */
static bool
scan_string(JsonChecker *c, JsonName *name)
{
	const unsigned char *start;
	char *decoded = NULL;
	size_t decoded_len = 0;

	if (c->p >= c->end || *c->p != '"')
		return false;
	start = ++c->p;
	for (;;)
	{
		const unsigned char *run = c->p;

		while (c->p < c->end && is_plain[*c->p])
			c->p++;
		if (c->p >= c->end)
			return false;
		if (*c->p >= 0x80)
		{
			int n = utf8_length(c->p, c->end);

			if (n == 0 || c->rules->ascii_only)
				return false;
			c->p += n;
		}
		if (decoded != NULL)
		{
			memcpy(decoded + decoded_len, run, (size_t) (c->p - run));
			decoded_len += (size_t) (c->p - run);
		}
		if (c->p >= c->end || *c->p < 0x20)
			return false;
		if (*c->p == '"')
			break;
		if (*c->p == '\\')
		{
			size_t raw_len = (size_t) (c->p - start);
			uint32 code;

			c->p++;
			code = scan_escape(c);
			if (code == 0 || (code > 0x7F && c->rules->ascii_only))
				return false;
			if (name == NULL)
				continue;
			if (decoded == NULL)
			{
				decoded = c->arena + c->arena_used;
				memcpy(decoded, start, raw_len);
				decoded_len = raw_len;
			}
			decoded_len += utf8_encode(code, decoded + decoded_len);
		}
	}
	if (name != NULL)
	{
		name->data = decoded ? decoded : (const char *) start;
		name->len = decoded ? decoded_len : (size_t) (c->p - start);
		c->arena_used += decoded_len;
	}
	c->p++;
	return true;
}

static size_t
scan_digits(JsonChecker *c)
{
	const unsigned char *start = c->p;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return (size_t) (c->p - start);
}

/* A number that numeric holds without an error. */
static bool
scan_number(JsonChecker *c)
{
	size_t integer_digits;
	size_t fraction_digits = 0;
	long exponent = 0;

	if (c->p < c->end && *c->p == '-')
		c->p++;
	if (c->p < c->end && *c->p == '0')
	{
		c->p++;
		integer_digits = 1;
	}
	else
		integer_digits = scan_digits(c);
	if (integer_digits == 0)
		return false;
	if (c->p < c->end && *c->p == '.')
	{
		c->p++;
		fraction_digits = scan_digits(c);
		if (fraction_digits == 0)
			return false;
	}
	if (c->p < c->end && (*c->p == 'e' || *c->p == 'E'))
	{
		bool negative = false;
		const unsigned char *digits;

		c->p++;
		if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
			negative = *c->p++ == '-';
		digits = c->p;
		if (scan_digits(c) == 0)
			return false;
		for (; digits < c->p; digits++)
		{
			exponent = exponent * 10 + (*digits - '0');
			if (exponent > NUMERIC_INTEGER_DIGITS)
				return false;
		}
		if (negative)
			exponent = -exponent;
	}
	return (long) integer_digits + exponent <= NUMERIC_INTEGER_DIGITS &&
		   integer_digits <= NUMERIC_INTEGER_DIGITS &&
		   (long) fraction_digits - exponent <= NUMERIC_FRACTION_DIGITS &&
		   fraction_digits <= NUMERIC_FRACTION_DIGITS;
}

static bool
scan_literal(JsonChecker *c, const char *word)
{
	size_t len = strlen(word);

	if ((size_t) (c->end - c->p) < len || memcmp(c->p, word, len) != 0)
		return false;
	c->p += len;
	return true;
}

static int
compare_names(const JsonName *a, const JsonName *b)
{
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return memcmp(a->data, b->data, a->len);
}

/*
 * Are the n names distinct? Merge sort from the bottom up: qsort() may be quadratic on
 * names that an attacker chose.
 */
static bool
names_are_distinct(JsonName *names, size_t n)
{
	JsonName *from = names;
	JsonName *scratch;
	JsonName *to;
	bool distinct = true;

	if (n <= 16)
	{
		for (size_t i = 1; i < n; i++)
			for (size_t j = 0; j < i; j++)
				if (compare_names(&names[i], &names[j]) == 0)
					return false;
		return true;
	}
	scratch = malloc(n * sizeof(JsonName));
	if (scratch == NULL)
		return false;
	to = scratch;
	for (size_t width = 1; width < n && distinct; width *= 2)
	{
		JsonName *swap = from;

		for (size_t start = 0; start < n && distinct; start += 2 * width)
		{
			size_t i = start;
			size_t i_end = Min(start + width, n);
			size_t j = i_end;
			size_t j_end = Min(start + 2 * width, n);
			size_t out = start;

			while (i < i_end && j < j_end)
			{
				int cmp = compare_names(&from[i], &from[j]);

				if (cmp == 0)
				{
					distinct = false;
					break;
				}
				to[out++] = cmp < 0 ? from[i++] : from[j++];
			}
			while (i < i_end)
				to[out++] = from[i++];
			while (j < j_end && out < n)
				to[out++] = from[j++];
		}
		from = to;
		to = swap;
	}
	free(scratch);
	return distinct;
}

/* Remember a member name of the innermost object. */
static bool
push_name(JsonChecker *c, const JsonName *name)
{
	if (c->n_names == c->names_capacity)
	{
		size_t capacity = c->names_capacity * 2;
		JsonName *names;

		if (c->names == c->fixed_names)
		{
			names = malloc(capacity * sizeof(JsonName));
			if (names != NULL)
				memcpy(names, c->fixed_names, sizeof(c->fixed_names));
		}
		else
			names = realloc(c->names, capacity * sizeof(JsonName));
		if (names == NULL)
			return false;
		c->names = names;
		c->names_capacity = capacity;
	}
	c->names[c->n_names++] = *name;
	return true;
}

/* Name and colon of a member. */
static bool
scan_member_name(JsonChecker *c)
{
	JsonName name;

	skip_space(c);
	if (!scan_string(c, c->rules->unique_members ? &name : NULL))
		return false;
	if (c->rules->unique_members && !push_name(c, &name))
		return false;
	skip_space(c);
	if (c->p >= c->end || *c->p != ':')
		return false;
	c->p++;
	return true;
}

/* Close the innermost container; p is behind its bracket. */
static bool
close_container(JsonChecker *c)
{
	JsonFrame *frame = &c->frames[--c->depth];

	if (frame->is_object && c->rules->unique_members)
	{
		size_t n = c->n_names - frame->first_name;

		if (n > 1 && !names_are_distinct(c->names + frame->first_name, n))
			return false;
		c->n_names = frame->first_name;
	}
	return true;
}

/* One value with all that is in it. */
static bool
scan_value(JsonChecker *c)
{
	for (;;)
	{
		/* a value begins here */
		skip_space(c);
		if (c->p >= c->end)
			return false;
		switch (*c->p)
		{
			case '{':
			case '[':
			{
				bool is_object = *c->p++ == '{';

				if (c->depth >= c->rules->max_depth || c->depth >= JSON_DEPTH_CAP)
					return false;
				c->frames[c->depth].is_object = is_object;
				c->frames[c->depth].first_name = c->n_names;
				c->depth++;
				skip_space(c);
				if (c->p < c->end && *c->p == (is_object ? '}' : ']'))
				{
					c->p++;
					c->depth--;
					break;
				}
				if (is_object && !scan_member_name(c))
					return false;
				continue;
			}
			case '"':
				if (!scan_string(c, NULL))
					return false;
				break;
			case 't':
				if (!scan_literal(c, "true"))
					return false;
				break;
			case 'f':
				if (!scan_literal(c, "false"))
					return false;
				break;
			case 'n':
				if (!scan_literal(c, "null"))
					return false;
				break;
			default:
				if (!scan_number(c))
					return false;
		}

		/* a value has ended; what follows it? */
		for (;;)
		{
			bool is_object;

			if (c->depth == 0)
				return true;
			is_object = c->frames[c->depth - 1].is_object;
			skip_space(c);
			if (c->p >= c->end)
				return false;
			if (*c->p == ',')
			{
				c->p++;
				if (is_object && !scan_member_name(c))
					return false;
				break;
			}
			if (*c->p != (is_object ? '}' : ']'))
				return false;
			c->p++;
			if (!close_container(c))
				return false;
		}
	}
}

bool
json_check(const char *text, size_t len, const JsonRules *rules)
{
	JsonChecker c;
	bool valid;

	c.p = (const unsigned char *) text;
	c.end = c.p + len;
	c.rules = rules;
	c.depth = 0;
	c.names = c.fixed_names;
	c.n_names = 0;
	c.names_capacity = FIXED_NAMES;
	c.arena = NULL;
	c.arena_used = 0;
	if (rules->unique_members && memchr(text, '\\', len) != NULL)
	{
		c.arena = malloc(len);
		if (c.arena == NULL)
			return false;
	}

	valid = scan_value(&c);
	if (valid)
	{
		skip_space(&c);
		valid = c.p == c.end;
	}
	if (c.names != c.fixed_names)
		free(c.names);
	free(c.arena);
	return valid;
}
