/*
 * src/scope/set.h
 *		Sets of grants and their one canonical form. Private to the scope layer.
 */
#ifndef SMART_FHIR_SCOPE_SET_H
#define SMART_FHIR_SCOPE_SET_H

#include "scope/term.h"

extern void scope_set_init(ScopeSet *set);
/* A zeroed term at the end; valid until the next call. */
extern ScopeTerm *scope_set_add(ScopeSet *set);
extern void scope_set_add_other(ScopeSet *set, char *token);
/* Append what a canonical list holds. */
extern void scope_set_add_list(ScopeSet *set, const ScopeList *list);

/*
 * The canonical list of a set, which it uses up. False when finding what covers what would
 * take too long; only terms with two params or more can make that happen, and the set is
 * then still complete.
 */
extern bool scope_set_reduce(ScopeSet *set, ScopeList *out);

#endif /* SMART_FHIR_SCOPE_SET_H */
