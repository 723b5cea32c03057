/*
 * src/scope/parse.c
 *		The grammar of SMART scopes: text to grants.
 *
 * The text is copied once, cut and decoded in place: no decoded part is longer than it was.
 * What the grants mean together is src/scope/set.c. Raises nothing and knows no FHIR.
 */
#include "postgres.h"

#include "scope/constraint.h"
#include "scope/letters.h"
#include "scope/parse.h"
#include "scope/set.h"

/* RFC 6749 3.3: what a scope token may hold. */
#define IS_SCOPE_BYTE(c)                                                                           \
	((c) == 0x21 || ((c) >= 0x23 && (c) <= 0x5B) || ((c) >= 0x5D && (c) <= 0x7E))

#define REASON_ALPHABET "a byte is outside the alphabet of OAuth scopes"
#define REASON_LENGTH "the text is too long"
#define REASON_WORK "too many scopes have several constraints"

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
		size_t j = 0;

		/* only A to Z have their lower case 0x20 above them */
		while (names[i][j] != '\0' && (token[j] == names[i][j] ||
									   (is_letter(token[j]) && (token[j] | 0x20) == names[i][j])))
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
parse_token(char *token, ScopeSet *set, size_t source, size_t source_len, ScopeSplitBudget *budget,
			bool *limit)
{
	ScopeTerm head = {0};
	const char *reason = NULL;
	char *type;
	char *constraints;
	char *dot;
	size_t level_len = 0;
	size_t head_len;
	bool is_v1;

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
	return scope_constraints_parse(constraints, set, &head, head_len, budget, limit);
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
	int n;
	int max;
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
	ScopeSplitBudget budget = {SCOPE_MAX_SPLIT_ITEMS, SCOPE_MAX_SPLIT_BYTES};
	char *copy = palloc(len + 1);
	size_t start = 0;

	memcpy(copy, text, len);
	copy[len] = '\0';
	while (start < len)
	{
		size_t token_len;
		const char *reason;
		bool limit = false;

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
	ScopeSet set;

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
	ScopeError error;
	ScopeSet set;

	memset(out, 0, sizeof(*out));
	if (!check_text(text, len, &error))
		ignore(&list, "", 0, error.reason);
	else
	{
		scope_set_init(&set);
		(void) parse_tokens(text, len, &set, &list, &error);
		if (!scope_set_reduce(&set, out))
		{
			int kept = 0;

			for (int i = 0; i < set.n_terms; i++)
			{
				ScopeTerm *term = &set.terms[i];

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
