/*
 * src/scope/cover.c
 *		Which grants do others cover? Below quadratic, and bounded where that fails.
 *
 * Terms of a level and type are indexed by one of their atoms each, the rarest, so a term has to look only
 * at those that share such an atom with it. What input made for it can still cost is counted.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "scope/cover.h"

/* Comparisons that one reduction may cost; some tenths of a second. */
#define MAX_WORK 50000000

/* Which terms are subsets of a term? Holds terms of one level and type. */
typedef struct TermIndex
{
	int unconstrained;	/* letters that need no param */
	uint8 *single;		/* by atom: letters that need just it */
	ScopeTerm **chains; /* by atom: terms with several, each at its rarest */
} TermIndex;

static void
index_init(TermIndex *index, int n_atoms)
{
	index->unconstrained = 0;
	index->single = palloc0(Max(n_atoms, 1));
	index->chains = palloc0(sizeof(ScopeTerm *) * Max(n_atoms, 1));
}

static int
rarest_atom(const ScopeTerm *term, const ScopeReduction *reduction)
{
	int rarest = term->atoms[0];

	for (int i = 1; i < term->n_atoms; i++)
	{
		if (reduction->frequency[term->atoms[i]] < reduction->frequency[rarest])
			rarest = term->atoms[i];
	}
	return rarest;
}

static void
index_add(TermIndex *index, ScopeTerm *term, const ScopeReduction *reduction)
{
	if (term->kept == 0)
		return;
	if (term->n_atoms == 0)
		index->unconstrained |= term->kept;
	else if (term->n_atoms == 1)
		index->single[term->atoms[0]] |= term->kept;
	else
	{
		int atom = rarest_atom(term, reduction);

		term->next = index->chains[atom];
		index->chains[atom] = term;
	}
}

/* Forget terms[from..to), which are all that it holds. */
static void
index_clear(TermIndex *index, const ScopeReduction *reduction, int from, int to)
{
	index->unconstrained = 0;
	for (int i = from; i < to; i++)
	{
		ScopeTerm *term = reduction->terms[i];

		if (term->n_atoms == 1)
			index->single[term->atoms[0]] = 0;
		else if (term->n_atoms > 1)
			index->chains[rarest_atom(term, reduction)] = NULL;
	}
}

static bool
is_subset(const ScopeTerm *small, const ScopeTerm *large, int64 *work)
{
	int j = 0;

	*work += 1;
	if (small->n_atoms > large->n_atoms || (small->signature & ~large->signature) != 0)
		return false;
	*work += large->n_atoms;
	for (int i = 0; i < small->n_atoms; i++)
	{
		while (j < large->n_atoms && large->atoms[j] < small->atoms[i])
			j++;
		if (j == large->n_atoms || large->atoms[j] != small->atoms[i])
			return false;
		j++;
	}
	return true;
}

/* Those of the letters that no subset of the term in the index has. */
static int
index_uncovered(const TermIndex *index, const ScopeTerm *term, int letters,
				ScopeReduction *reduction)
{
	letters &= ~index->unconstrained;
	for (int i = 0; i < term->n_atoms && letters != 0; i++)
		letters &= ~index->single[term->atoms[i]];
	for (int i = 0; i < term->n_atoms && letters != 0; i++)
	{
		for (ScopeTerm *other = index->chains[term->atoms[i]]; other && letters;
			 other = other->next)
		{
			if (reduction->work > MAX_WORK)
				return letters;
			if ((other->kept & letters) != 0 && is_subset(other, term, &reduction->work))
				letters &= ~other->kept;
			else
				reduction->work++;
		}
	}
	return letters;
}

/*
 * Take from the terms[from..to), of one level and type, the letters that another of them or
 * a wildcard covers; index gets those that remain. Terms of one size never cover each
 * other, so they enter the index when the next size begins.
 */
static bool
drop_covered_in_group(ScopeReduction *reduction, const TermIndex *wildcard, TermIndex *index,
					  int from, int to)
{
	int entered = from;

	for (int i = from; i < to; i++)
	{
		ScopeTerm *term = reduction->terms[i];

		for (; reduction->terms[entered]->n_atoms < term->n_atoms; entered++)
			index_add(index, reduction->terms[entered], reduction);
		if (wildcard != NULL)
			term->kept = index_uncovered(wildcard, term, term->kept, reduction);
		term->kept = index_uncovered(index, term, term->kept, reduction);
		if (reduction->work > MAX_WORK)
			return false;
		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
	}
	for (; entered < to; entered++)
		index_add(index, reduction->terms[entered], reduction);
	return true;
}

bool
scope_drop_covered(ScopeReduction *reduction)
{
	TermIndex wildcard;
	TermIndex typed;
	int wildcard_from = 0;
	int wildcard_to = 0;
	int to;

	index_init(&wildcard, reduction->n_atoms);
	index_init(&typed, reduction->n_atoms);
	for (int from = 0; from < reduction->n_terms; from = to)
	{
		const ScopeTerm *first = reduction->terms[from];

		to = from + 1;
		while (to < reduction->n_terms && reduction->terms[to]->level == first->level &&
			   strcmp(reduction->terms[to]->resource_type, first->resource_type) == 0)
			to++;
		if (from > 0 && reduction->terms[from - 1]->level != first->level)
		{
			index_clear(&wildcard, reduction, wildcard_from, wildcard_to);
			wildcard_from = wildcard_to = from;
		}

		/* "*" sorts before every name, so it is complete when the types of its level come */
		if (strcmp(first->resource_type, "*") == 0)
		{
			wildcard_from = from;
			wildcard_to = to;
			if (!drop_covered_in_group(reduction, NULL, &wildcard, from, to))
				return false;
		}
		else
		{
			if (!drop_covered_in_group(reduction, &wildcard, &typed, from, to))
				return false;
			index_clear(&typed, reduction, from, to);
		}
	}
	return true;
}
