/*
 * src/oauth/scope.c
 *		Narrowing of scope strings. The order of scopes, and what two grant together, is src/scope's;
 *		here is only that the client's spelling is kept (OC-50, OC-83). Knows nothing of clients.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "compat.h"
#include "oauth/scope.h"

void
scope_read(const char *text, ScopeList *list)
{
	int n_ignored;
	ScopeIgnored *ignored;

	scope_parse_claim(text, strlen(text), list, &n_ignored, &ignored);
}

List *
scope_tokens(const char *text)
{
	List *tokens = NIL;
	const char *p = text;

	while (*p != '\0')
	{
		size_t len = strcspn(p, " ");
		char *token = pnstrdup(p, len);
		ListCell *cell;
		bool known = len == 0;

		foreach(cell, tokens)
			known = known || strcmp(lfirst(cell), token) == 0;
		if (!known)
			tokens = lappend(tokens, token);
		p += len + (p[len] == ' ' ? 1 : 0);
	}
	return tokens;
}

char *
scope_join(List *tokens)
{
	StringInfoData buf;
	ListCell *cell;

	initStringInfo(&buf);
	foreach(cell, tokens)
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? " " : "", (char *) lfirst(cell));
	return buf.data;
}

char *
scope_cut(const char *text, const ScopeList *most)
{
	List *kept = NIL;
	ListCell *cell;

	foreach(cell, scope_tokens(text))
	{
		char *token = lfirst(cell);
		ScopeList one, common;
		ScopeError error;

		if (!scope_parse(token, strlen(token), &one, &error) || one.n_items == 0)
			continue;
		if (scope_list_covers(most, &one))
			kept = lappend(kept, token);
		else if (scope_list_meet(most, &one, &common) && common.n_items > 0)
			kept = lappend(kept, scope_list_text(&common));
	}
	/* two tokens may have been cut to the same */
	return scope_join(scope_tokens(scope_join(kept)));
}

bool
scope_text_has(const char *text, const char *token)
{
	ListCell *cell;

	foreach(cell, scope_tokens(text))
		if (strcmp(lfirst(cell), token) == 0)
			return true;
	return false;
}

char *
scope_without(const char *text, const char *token)
{
	List *kept = NIL;
	ListCell *cell;

	foreach(cell, scope_tokens(text))
		if (strcmp(lfirst(cell), token) != 0)
			kept = lappend(kept, lfirst(cell));
	return scope_join(kept);
}

static bool
is_of_level(const char *token, int level)
{
	ScopeList one;

	scope_read(token, &one);
	for (int i = 0; i < one.n_items; i++)
		if (one.items[i].kind == SCOPE_KIND_RESOURCE &&
			(level < 0 || (int) one.items[i].level == level))
			return true;
	return false;
}

char *
scope_without_level(const char *text, ScopeLevel level)
{
	List *kept = NIL;
	ListCell *cell;

	foreach(cell, scope_tokens(text))
		if (!is_of_level(lfirst(cell), level))
			kept = lappend(kept, lfirst(cell));
	return scope_join(kept);
}

bool
scope_has_resource(const char *text, int level)
{
	return is_of_level(text, level);
}

bool
scope_covers(const char *a, const char *b)
{
	ScopeList one, other;

	scope_read(a, &one);
	scope_read(b, &other);
	return scope_list_covers(&one, &other);
}
