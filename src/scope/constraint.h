/*
 * src/scope/constraint.h
 *		The constraints of one scope token, into a set. Private to the scope layer.
 */
#ifndef SMART_FHIR_SCOPE_CONSTRAINT_H
#define SMART_FHIR_SCOPE_CONSTRAINT_H

#include "scope/term.h"

/* What is left of the limits on alternatives, for one text. */
typedef struct ScopeSplitBudget
{
	double items;
	double bytes;
} ScopeSplitBudget;

/*
 * Add a copy of head for each combination of alternatives in text, the part of a token behind
 * "?", which is cut up. The reason when it is malformed, or over the budget (*limit).
 */
extern const char *scope_constraints_parse(char *text, ScopeSet *set, const ScopeTerm *head,
										   size_t head_len, ScopeSplitBudget *budget, bool *limit);

#endif /* SMART_FHIR_SCOPE_CONSTRAINT_H */
