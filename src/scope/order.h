/*
 * src/scope/order.h
 *		Canonical lists as a lattice: text, covers, join and meet. Pure.
 */
#ifndef SMART_FHIR_SCOPE_ORDER_H
#define SMART_FHIR_SCOPE_ORDER_H

#include "scope/types.h"

/* Canonical text of the list, tokens joined by one space. */
extern char *scope_list_text(const ScopeList *list);

/* a covers b: every grant and every other token of b is within a (SC-26). */
extern bool scope_list_covers(const ScopeList *a, const ScopeList *b);

/*
 * What a or b grants, and what both grant: the join and the meet of the order above. False
 * when the result would be beyond the limits.
 */
extern bool scope_list_join(const ScopeList *a, const ScopeList *b, ScopeList *out);
extern bool scope_list_meet(const ScopeList *a, const ScopeList *b, ScopeList *out);

#endif /* SMART_FHIR_SCOPE_ORDER_H */
