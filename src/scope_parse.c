/*
 * src/scope_parse.c
 *		The grammar of SMART scopes: text to grants.
 *
 * The text is copied once, cut and decoded in place: no decoded part is longer than it was.
 * What the grants mean together is scope_set.c. Raises nothing and knows no FHIR.
 */
#include "postgres.h"

#include "scope_set.h"

/* RFC 6749 3.3: what a scope token may hold. */
#define IS_SCOPE_BYTE(c) ((c) == 0x21 || ((c) >= 0x23 && (c) <= 0x5B) || ((c) >= 0x5D && (c) <= 0x7E))

#define REASON_ALPHABET "a byte is outside the alphabet of OAuth scopes"
#define REASON_LENGTH "the text is too long"
#define REASON_SPLIT "the alternatives of the constraints have too many combinations"
#define REASON_WORK "too many scopes have several constraints"

/* What is left of the limits on alternatives, for one text. */
typedef struct SplitBudget
{
	double		items;
	double		bytes;
} SplitBudget;

/* One pair of a token: a name and its alternatives, contiguous and NUL-terminated. */
typedef struct Pair
{
	char	   *name;
	char	   *values;
	int			n_values;
	size_t		len;			/* of the pair in the token */
} Pair;

int
scope_permissions_parse(const char *text, size_t len)
{
	static const char letters[] = "cruds";
	int			permissions = 0;
	int			at = 0;

	for (size_t i = 0; i < len; i++)
	{
		while (at < 5 && letters[at] != text[i])
			at++;
		if (at == 5)
			return 0;
		permissions |= 1 << at++;
	}
	return permissions;
}

char *
scope_permissions_text(int permissions, char *buf)
{
	char	   *out = buf;

	for (int i = 0; i < 5; i++)
	{
		if (permissions & (1 << i))
			*out++ = "cruds"[i];
	}
	*out = '\0';
	return buf;
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* v2 letters of a permission, v1 words included (SC-5 to SC-8); 0 when it is neither. */
static int
parse_permission(const char *text, size_t len, bool *is_v1)
{
	*is_v1 = true;
	if (len == 4 && memcmp(text, "read", 4) == 0)
		return SCOPE_R | SCOPE_S;
	if (len == 5 && memcmp(text, "write", 5) == 0)
		return SCOPE_C | SCOPE_U | SCOPE_D;
	if (len == 1 && text[0] == '*')
		return SCOPE_CRUDS;
	*is_v1 = false;
	return scope_permissions_parse(text, len);
}

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
	size_t		i = 0;

	while (i < len)
	{
		unsigned char c = text[i++];
		unsigned char low = 0x80;
		unsigned char high = 0xBF;
		int			more;

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
	char	   *out = text;

	for (size_t i = 0; i < len; i++)
	{
		char		c = text[i];

		if (strchr("=?#+", c) != NULL)
			return "a constraint holds =, ?, # or + that is not percent-encoded";
		if (c == '%')
		{
			int			high = i + 2 < len ? hex_value(text[i + 1]) : -1;
			int			low = i + 2 < len ? hex_value(text[i + 2]) : -1;

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
	int			n = 1;
	bool		empty = true;
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
	char	   *equals = memchr(text, '=', len);
	const char *reason;
	const char *modifier;
	size_t		name_len;

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
spend(SplitBudget *budget, size_t head_len, const Pair *pairs, int n_pairs)
{
	double		items = 1;
	double		bytes;

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
	int		   *at = palloc0(sizeof(int) * n_pairs);
	ScopeParam *current = palloc(sizeof(ScopeParam) * n_pairs);
	int			turned;

	for (int i = 0; i < n_pairs; i++)
	{
		current[i].name = pairs[i].name;
		current[i].value = pairs[i].values;
	}
	do
	{
		ScopeTerm  *term = scope_set_add(set);

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

/* The part after "?". */
static const char *
parse_constraints(char *text, ScopeSet *set, const ScopeTerm *head, size_t head_len,
				  SplitBudget *budget, bool *limit)
{
	Pair	   *pairs;
	int			n_pairs = 1;
	const char *reason = NULL;

	if (*text == '\0')
		return "the constraint is empty";
	for (char *p = text; *p != '\0'; p++)
		n_pairs += *p == '&';
	pairs = palloc(sizeof(Pair) * n_pairs);
	for (int i = 0; i < n_pairs && reason == NULL; i++)
	{
		size_t		len = strcspn(text, "&");

		reason = parse_pair(text, len, &pairs[i]);
		text += len + 1;
	}
	if (reason == NULL && !spend(budget, head_len, pairs, n_pairs))
	{
		*limit = true;
		reason = REASON_SPLIT;
	}
	if (reason == NULL)
		add_combinations(set, head, pairs, n_pairs);
	pfree(pairs);
	return reason;
}

bool
scope_type_is_name(const char *text, size_t len)
{
	if (len == 1 && *text == '*')
		return true;
	if (len == 0 || !is_letter(*text))
		return false;
	for (size_t i = 1; i < len; i++)
	{
		if (!is_letter(text[i]) && !(text[i] >= '0' && text[i] <= '9') && text[i] != '_')
			return false;
	}
	return true;
}

/*
 * Does the token begin like a resource scope, and at what level? *reason is set when the
 * level is malformed.
 */
static bool
parse_level(const char *token, ScopeLevel *level, size_t *len, const char **reason)
{
	static const char *const names[] = {"patient/", "user/", "system/"};

	if (token[0] == '/')
	{
		*reason = "the level is missing";
		return true;
	}
	for (int i = 0; i < 3; i++)
	{
		size_t		j = 0;

		/* only A to Z have their lower case 0x20 above them */
		while (names[i][j] != '\0' &&
			   (token[j] == names[i][j] || (is_letter(token[j]) && (token[j] | 0x20) == names[i][j])))
			j++;
		if (names[i][j] != '\0')
			continue;
		*level = (ScopeLevel) i;
		*len = j;
		if (memcmp(token, names[i], j) != 0)
			*reason = "the level is not in lower case";
		return true;
	}
	return false;
}

/* Add a NUL-terminated token, which is cut up, to the set; the reason when it is malformed. */
static const char *
parse_token(char *token, ScopeSet *set, size_t source, size_t source_len, SplitBudget *budget,
			bool *limit)
{
	ScopeTerm	head = {0};
	const char *reason = NULL;
	char	   *type;
	char	   *constraints;
	char	   *dot;
	size_t		level_len = 0;
	size_t		head_len;
	bool		is_v1;

	if (!parse_level(token, &head.level, &level_len, &reason))
	{
		scope_set_add_other(set, token);
		return NULL;
	}
	if (reason != NULL)
		return reason;

	/* SC-25: the whole token has to match */
	type = token + level_len;
	constraints = strchr(type, '?');
	head_len = constraints ? (size_t) (constraints - token) : source_len;
	if (constraints != NULL)
		*constraints++ = '\0';
	dot = strchr(type, '.');
	if (*type == '\0' || dot == type)
		return "the resource type is missing";
	if (dot != NULL)
		*dot = '\0';
	if (!scope_type_is_name(type, strlen(type)))
		return "the resource type is neither a name nor \"*\"";
	if (dot == NULL)
		return "the permission is missing";
	if (dot[1] == '\0')
		return "the permission is empty";
	head.permissions = parse_permission(dot + 1, token + head_len - (dot + 1), &is_v1);
	if (head.permissions == 0)
		return "the permission is neither letters of \"cruds\" in that order nor read, write or *";
	head.resource_type = type;
	head.source = source;
	head.source_len = source_len;
	if (constraints == NULL)
	{
		*scope_set_add(set) = head;
		return NULL;
	}
	if (is_v1)
		return "a version 1 permission takes no constraint";
	return parse_constraints(constraints, set, &head, head_len, budget, limit);
}

/* Is the text as a whole fit to be cut into tokens? */
static bool
check_text(const char *text, size_t len, ScopeError *error)
{
	memset(error, 0, sizeof(*error));
	if (len > SCOPE_MAX_LENGTH)
	{
		error->limit = true;
		error->reason = REASON_LENGTH;
		return false;
	}
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (c != ' ' && !IS_SCOPE_BYTE(c))
		{
			error->position = (int) i;
			error->reason = REASON_ALPHABET;
			return false;
		}
	}
	return true;
}

typedef struct IgnoredList
{
	int			n;
	int			max;
	ScopeIgnored *entries;
} IgnoredList;

static void
ignore(IgnoredList *list, const char *text, size_t len, const char *reason)
{
	if (list->n == list->max)
	{
		list->max = list->max ? list->max * 2 : 8;
		list->entries = list->entries ? repalloc(list->entries, sizeof(ScopeIgnored) * list->max)
			: palloc(sizeof(ScopeIgnored) * list->max);
	}
	list->entries[list->n].text = pnstrdup(text, len);
	list->entries[list->n++].reason = reason;
}

/*
 * Fill the set. Malformed tokens are listed when there is a list, else the first one is
 * *error and the answer false.
 */
static bool
parse_tokens(const char *text, size_t len, ScopeSet *set, IgnoredList *ignored, ScopeError *error)
{
	SplitBudget budget = {SCOPE_MAX_SPLIT_ITEMS, SCOPE_MAX_SPLIT_BYTES};
	char	   *copy = palloc(len + 1);
	size_t		start = 0;

	memcpy(copy, text, len);
	copy[len] = '\0';
	while (start < len)
	{
		size_t		token_len;
		const char *reason;
		bool		limit = false;

		if (text[start] == ' ')
		{
			start++;
			continue;
		}
		token_len = strcspn(copy + start, " ");
		copy[start + token_len] = '\0';
		reason = parse_token(copy + start, set, start, token_len, &budget, &limit);
		if (reason != NULL && ignored != NULL)
			ignore(ignored, text + start, token_len, reason);
		else if (reason != NULL)
		{
			error->reason = reason;
			error->token = pnstrdup(text + start, token_len);
			error->position = (int) start;
			error->limit = limit;
			return false;
		}
		start += token_len;
	}
	return true;
}

bool
scope_parse(const char *text, size_t len, ScopeList *out, ScopeError *error)
{
	ScopeSet	set;

	memset(out, 0, sizeof(*out));
	if (!check_text(text, len, error))
		return false;
	scope_set_init(&set);
	if (!parse_tokens(text, len, &set, NULL, error))
		return false;
	if (!scope_set_reduce(&set, out))
	{
		error->limit = true;
		error->reason = REASON_WORK;
		return false;
	}
	return true;
}

void
scope_parse_claim(const char *text, size_t len, ScopeList *out, int *n_ignored,
				  ScopeIgnored **ignored)
{
	IgnoredList list = {0};
	ScopeError	error;
	ScopeSet	set;

	memset(out, 0, sizeof(*out));
	if (!check_text(text, len, &error))
		ignore(&list, "", 0, error.reason);
	else
	{
		scope_set_init(&set);
		(void) parse_tokens(text, len, &set, &list, &error);
		if (!scope_set_reduce(&set, out))
		{
			int			kept = 0;

			for (int i = 0; i < set.n_terms; i++)
			{
				ScopeTerm  *term = &set.terms[i];

				if (term->n_params > 1)
					ignore(&list, text + term->source, term->source_len, REASON_WORK);
				else
					set.terms[kept++] = *term;
			}
			set.n_terms = kept;
			if (!scope_set_reduce(&set, out))
				memset(out, 0, sizeof(*out));
		}
	}
	*n_ignored = list.n;
	*ignored = list.entries;
}
