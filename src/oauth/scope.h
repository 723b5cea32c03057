/*
 * src/oauth/scope.h
 *		Narrowing of scope strings: the one home of what is granted of what was asked.
 */
#ifndef SMART_FHIR_OAUTH_SCOPE_H
#define SMART_FHIR_OAUTH_SCOPE_H

#include "nodes/pg_list.h"

#include "scope/order.h"
#include "scope/parse.h"

/* The tokens of a scope string in the order of the text, none twice; C strings. */
extern List *scope_tokens(const char *text);
/* The reverse. */
extern char *scope_join(List *tokens);

/*
 * What text asks for and most allows, in the spelling of text where a token is allowed whole;
 * else as the smart_scope operator & writes it. "" when nothing is left. Malformed tokens are
 * left out.
 */
extern char *scope_cut(const char *text, const ScopeList *most);

/* Is this token ("openid", "launch/patient") among those of the text? */
extern bool scope_text_has(const char *text, const char *token);
/* The text without this token. */
extern char *scope_without(const char *text, const char *token);
/* The text without the resource scopes of a level. */
extern char *scope_without_level(const char *text, ScopeLevel level);
/* Does it have a resource scope (of this level; -1: of any)? */
extern bool scope_has_resource(const char *text, int level);
/* Does a cover b? Both are texts; malformed tokens grant nothing. */
extern bool scope_covers(const char *a, const char *b);

/* A scope string that was checked when it was stored; what is malformed grants nothing. */
extern void scope_read(const char *text, ScopeList *list);

#endif /* SMART_FHIR_OAUTH_SCOPE_H */
