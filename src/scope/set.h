/*
 * src/scope/set.h
 *		Sets of grants and their one canonical form. Private to the scope layer.
 */
#ifndef SMART_FHIR_SCOPE_SET_H
#define SMART_FHIR_SCOPE_SET_H

#include "scope/parse.h"

/*
 * One resource scope without alternatives: letters of a type for the rows that match all
 * params. Texts are borrowed and must outlive the set and what is made of it.
 */
typedef struct ScopeTerm
{
	ScopeLevel level;
	const char *resource_type;
	int permissions;
	int n_params;
	ScopeParam *params; /* in any order, duplicates allowed */
	size_t source;		/* where it was read, for diagnostics */
	size_t source_len;
	/* filled by scope_set_reduce() */
	int n_atoms;
	int *atoms;				/* numbers of the distinct params, ascending */
	uint64 signature;		/* a bit for each atom, modulo 64 */
	int kept;				/* letters that nothing else covers */
	struct ScopeTerm *next; /* chain of an index */
} ScopeTerm;

typedef struct ScopeSet
{
	int n_terms;
	int max_terms;
	ScopeTerm *terms;
	int n_others;
	int max_others;
	char **others; /* tokens that are no resource scopes */
} ScopeSet;

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

/* The work space of one reduction. */
typedef struct ScopeReduction
{
	int n_terms;
	ScopeTerm **terms; /* sorted, no two alike */
	int n_atoms;
	ScopeParam **atoms; /* by number, in the order of name, then value */
	int *frequency;		/* terms that hold the atom */
	int64 work;
} ScopeReduction;

/*
 * Take from each term (kept) the letters that another covers; false when that takes too long.
 */
extern bool scope_drop_covered(ScopeReduction *reduction);

/* launch, launch/patient, ... or other. */
extern ScopeKind scope_other_kind(const char *token);

#endif /* SMART_FHIR_SCOPE_SET_H */
