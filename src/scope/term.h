/*
 * src/scope/term.h
 *		Grants in the making, as data: what parser, sets and covering share. Private to the layer.
 */
#ifndef SMART_FHIR_SCOPE_TERM_H
#define SMART_FHIR_SCOPE_TERM_H

#include "scope/types.h"

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

#endif /* SMART_FHIR_SCOPE_TERM_H */
