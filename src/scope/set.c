/*
 * src/scope/set.c
 *		Sets of grants and their canonical form.
 *
 * A grant is a letter of a type for the rows that match every param of a set of params, so
 * a set of grants is, for each level, type and letter, a disjunction of conjunctions without
 * negation. The minimal ones of those conjunctions (no other is a subset) decide it completely:
 * two sets grant the same, whatever the params mean, exactly when the minimal ones are
 * the same. That is the canonical form; letters that the same params have are written together.
 * "*" stands for every type, also those that nobody has named, so what it grants is
 * removed from the types and never made up from them.
 *
 * Knows of text only how to write it.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "scope/cover.h"
#include "scope/letters.h"
#include "scope/set.h"

static const char *const level_names[] = {"patient", "user", "system"};

typedef struct ParamRef
{
	ScopeParam *param;
	ScopeTerm *term;
} ParamRef;

void
scope_set_init(ScopeSet *set)
{
	memset(set, 0, sizeof(*set));
	set->max_terms = 16;
	set->terms = palloc(sizeof(ScopeTerm) * set->max_terms);
	set->max_others = 16;
	set->others = palloc(sizeof(char *) * set->max_others);
}

ScopeTerm *
scope_set_add(ScopeSet *set)
{
	ScopeTerm *term;

	if (set->n_terms == set->max_terms)
	{
		set->max_terms *= 2;
		set->terms = repalloc(set->terms, sizeof(ScopeTerm) * set->max_terms);
	}
	term = &set->terms[set->n_terms++];
	memset(term, 0, sizeof(*term));
	return term;
}

void
scope_set_add_other(ScopeSet *set, char *token)
{
	if (set->n_others == set->max_others)
	{
		set->max_others *= 2;
		set->others = repalloc(set->others, sizeof(char *) * set->max_others);
	}
	set->others[set->n_others++] = token;
}

void
scope_set_add_list(ScopeSet *set, const ScopeList *list)
{
	for (int i = 0; i < list->n_items; i++)
	{
		ScopeItem *item = &list->items[i];
		ScopeTerm *term;

		if (item->kind != SCOPE_KIND_RESOURCE)
		{
			scope_set_add_other(set, item->text);
			continue;
		}
		term = scope_set_add(set);
		term->level = item->level;
		term->resource_type = item->resource_type;
		term->permissions = item->permissions;
		term->n_params = item->n_params;
		term->params = item->params;
	}
}

/* Merge sort: the server's quicksort is quadratic on input made for it. */
static void
sort_pointers(void **items, size_t n, int (*compare)(const void *, const void *))
{
	void **from = items;
	void **spare = palloc(sizeof(void *) * Max(n, 1));
	void **to = spare;

	for (size_t width = 1; width < n; width *= 2)
	{
		void **swap;

		CHECK_FOR_INTERRUPTS();
		for (size_t low = 0; low < n; low += 2 * width)
		{
			size_t middle = Min(low + width, n);
			size_t high = Min(low + 2 * width, n);
			size_t left = low;
			size_t right = middle;

			for (size_t i = low; i < high; i++)
			{
				if (left < middle && (right == high || compare(from[left], from[right]) <= 0))
					to[i] = from[left++];
				else
					to[i] = from[right++];
			}
		}
		swap = from;
		from = to;
		to = swap;
	}
	if (from != items)
		memcpy(items, from, sizeof(void *) * n);
	pfree(spare);
}

static int
compare_texts(const char *a, const char *b)
{
	return a == b ? 0 : strcmp(a, b);
}

static int
compare_refs(const void *a, const void *b)
{
	const ScopeParam *left = ((const ParamRef *) a)->param;
	const ScopeParam *right = ((const ParamRef *) b)->param;
	int order = compare_texts(left->name, right->name);

	return order != 0 ? order : compare_texts(left->value, right->value);
}

/* By level, type, number of atoms, atoms: a proper subset stands before its supersets. */
static int
compare_terms(const void *a, const void *b)
{
	const ScopeTerm *left = a;
	const ScopeTerm *right = b;
	int order;

	if (left->level != right->level)
		return left->level < right->level ? -1 : 1;
	order = compare_texts(left->resource_type, right->resource_type);
	if (order != 0)
		return order;
	if (left->n_atoms != right->n_atoms)
		return left->n_atoms < right->n_atoms ? -1 : 1;
	for (int i = 0; i < left->n_atoms; i++)
	{
		if (left->atoms[i] != right->atoms[i])
			return left->atoms[i] < right->atoms[i] ? -1 : 1;
	}
	return 0;
}

static int
compare_strings(const void *a, const void *b)
{
	return compare_texts(a, b);
}

static int
compare_items(const void *a, const void *b)
{
	return compare_texts(((const ScopeItem *) a)->text, ((const ScopeItem *) b)->text);
}

/* Number the distinct params of all terms. */
static void
number_atoms(ScopeSet *set, ScopeReduction *reduction)
{
	size_t n_refs = 0;
	size_t n = 0;
	ParamRef *refs;
	void **sorted;
	int *numbers;

	for (int i = 0; i < set->n_terms; i++)
		n_refs += set->terms[i].n_params;
	refs = palloc(sizeof(ParamRef) * Max(n_refs, 1));
	sorted = palloc(sizeof(void *) * Max(n_refs, 1));
	numbers = palloc(sizeof(int) * Max(n_refs, 1));
	for (int i = 0; i < set->n_terms; i++)
	{
		ScopeTerm *term = &set->terms[i];

		term->atoms = numbers + n;
		term->n_atoms = 0;
		term->signature = 0;
		term->kept = term->permissions;
		for (int j = 0; j < term->n_params; j++)
		{
			refs[n].param = &term->params[j];
			refs[n].term = term;
			sorted[n] = &refs[n];
			n++;
		}
	}
	sort_pointers(sorted, n_refs, compare_refs);

	reduction->atoms = palloc(sizeof(ScopeParam *) * Max(n_refs, 1));
	reduction->frequency = palloc0(sizeof(int) * Max(n_refs, 1));
	reduction->n_atoms = 0;
	for (size_t i = 0; i < n_refs; i++)
	{
		ParamRef *ref = sorted[i];
		ScopeTerm *term = ref->term;
		int number;

		if (i == 0 || compare_refs(sorted[i - 1], ref) != 0)
			reduction->atoms[reduction->n_atoms++] = ref->param;
		number = reduction->n_atoms - 1;
		/* refs come in order, so the atoms of each term do too */
		if (term->n_atoms > 0 && term->atoms[term->n_atoms - 1] == number)
			continue;
		term->atoms[term->n_atoms++] = number;
		term->signature |= UINT64CONST(1) << (number % 64);
		reduction->frequency[number]++;
	}
	pfree(refs);
	pfree(sorted);
}

/* Sort the terms and put the letters of equal ones together. */
static void
merge_equal_terms(ScopeSet *set, ScopeReduction *reduction)
{
	int n = 0;

	reduction->terms = palloc(sizeof(ScopeTerm *) * Max(set->n_terms, 1));
	for (int i = 0; i < set->n_terms; i++)
		reduction->terms[i] = &set->terms[i];
	sort_pointers((void **) reduction->terms, set->n_terms, compare_terms);
	for (int i = 0; i < set->n_terms; i++)
	{
		ScopeTerm *term = reduction->terms[i];

		if (n > 0 && compare_terms(reduction->terms[n - 1], term) == 0)
			reduction->terms[n - 1]->kept |= term->kept;
		else
			reduction->terms[n++] = term;
	}
	reduction->n_terms = n;
}

/* May the byte stand in a name or value as it is? The others are percent-encoded. */
static bool
is_plain(unsigned char c)
{
	return c > 0x20 && c < 0x7F && strchr("\"\\%&=?#+", c) == NULL;
}

static char *
encode(char *out, const char *text)
{
	static const char digits[] = "0123456789ABCDEF";

	for (const unsigned char *p = (const unsigned char *) text; *p != '\0'; p++)
	{
		if (is_plain(*p))
			*out++ = (char) *p;
		else
		{
			*out++ = '%';
			*out++ = digits[*p >> 4];
			*out++ = digits[*p & 15];
		}
	}
	return out;
}

static size_t
encoded_len(const char *text)
{
	size_t len = 0;

	for (const unsigned char *p = (const unsigned char *) text; *p != '\0'; p++)
		len += is_plain(*p) ? 1 : 3;
	return len;
}

/* Length of a term's text with its terminator. */
static size_t
term_text_size(const ScopeTerm *term, const size_t *atom_lens)
{
	/* level/type.cruds, and a "?" or "&" before each pair */
	size_t size = strlen(level_names[term->level]) + 1 + strlen(term->resource_type) + 1 + 5 + 1;

	for (int i = 0; i < term->n_atoms; i++)
		size += 1 + atom_lens[term->atoms[i]];
	return size;
}

static char *
append(char *out, const char *text)
{
	size_t len = strlen(text);

	memcpy(out, text, len);
	return out + len;
}

static char *
write_term(char *out, const ScopeTerm *term, const ScopeReduction *reduction)
{
	char letters[6];

	out = append(out, level_names[term->level]);
	*out++ = '/';
	out = append(out, term->resource_type);
	*out++ = '.';
	out = append(out, scope_permissions_text(term->kept, letters));
	for (int i = 0; i < term->n_atoms; i++)
	{
		*out++ = i == 0 ? '?' : '&';
		out = encode(out, reduction->atoms[term->atoms[i]]->name);
		*out++ = '=';
		out = encode(out, reduction->atoms[term->atoms[i]]->value);
	}
	*out++ = '\0';
	return out;
}

/* launch, launch/patient, ... or other. */
static ScopeKind
other_kind(const char *token)
{
	const char *p;

	if (strcmp(token, "launch") == 0)
		return SCOPE_KIND_LAUNCH;
	if (strncmp(token, "launch/", 7) != 0)
		return SCOPE_KIND_OTHER;
	p = token + 7;
	while (*p >= 'a' && *p <= 'z')
		p++;
	if (p == token + 7)
		return SCOPE_KIND_OTHER;
	if (*p == '\0' || (strncmp(p, "?role=", 6) == 0 && p[6] != '\0'))
		return SCOPE_KIND_LAUNCH;
	return SCOPE_KIND_OTHER;
}

/* The resource scopes of the list, from the terms that keep letters. */
static int
make_resource_items(const ScopeReduction *reduction, ScopeItem *items)
{
	size_t *atom_lens = palloc(sizeof(size_t) * Max(reduction->n_atoms, 1));
	size_t text_size = 0;
	size_t n_params = 0;
	char *text;
	ScopeParam *params;
	int n = 0;

	for (int i = 0; i < reduction->n_atoms; i++)
		atom_lens[i] =
			encoded_len(reduction->atoms[i]->name) + 1 + encoded_len(reduction->atoms[i]->value);
	for (int i = 0; i < reduction->n_terms; i++)
	{
		if (reduction->terms[i]->kept == 0)
			continue;
		text_size += term_text_size(reduction->terms[i], atom_lens);
		n_params += reduction->terms[i]->n_atoms;
	}
	text = palloc(Max(text_size, 1));
	params = palloc(sizeof(ScopeParam) * Max(n_params, 1));
	for (int i = 0; i < reduction->n_terms; i++)
	{
		const ScopeTerm *term = reduction->terms[i];
		ScopeItem *item;

		if (term->kept == 0)
			continue;
		item = &items[n++];
		memset(item, 0, sizeof(*item));
		item->kind = SCOPE_KIND_RESOURCE;
		item->level = term->level;
		item->resource_type = unconstify(char *, term->resource_type);
		item->permissions = term->kept;
		item->n_params = term->n_atoms;
		item->params = params;
		for (int j = 0; j < term->n_atoms; j++)
			*params++ = *reduction->atoms[term->atoms[j]];
		item->text = text;
		text = write_term(text, term, reduction);
	}
	pfree(atom_lens);
	return n;
}

static int
make_other_items(ScopeSet *set, ScopeItem *items)
{
	int n = 0;

	sort_pointers((void **) set->others, set->n_others, compare_strings);
	for (int i = 0; i < set->n_others; i++)
	{
		ScopeItem *item;

		if (i > 0 && compare_texts(set->others[i - 1], set->others[i]) == 0)
			continue;
		item = &items[n++];
		memset(item, 0, sizeof(*item));
		item->kind = other_kind(set->others[i]);
		item->text = set->others[i];
	}
	return n;
}

bool
scope_set_reduce(ScopeSet *set, ScopeList *out)
{
	ScopeReduction reduction = {0};
	ScopeItem *items;
	ScopeItem **sorted;
	int n;

	number_atoms(set, &reduction);
	merge_equal_terms(set, &reduction);
	if (!scope_drop_covered(&reduction))
		return false;

	items = palloc(sizeof(ScopeItem) * Max(reduction.n_terms + set->n_others, 1));
	n = make_resource_items(&reduction, items);
	n += make_other_items(set, items + n);
	sorted = palloc(sizeof(ScopeItem *) * Max(n, 1));
	for (int i = 0; i < n; i++)
		sorted[i] = &items[i];
	sort_pointers((void **) sorted, n, compare_items);
	out->n_items = n;
	out->items = palloc(sizeof(ScopeItem) * Max(n, 1));
	for (int i = 0; i < n; i++)
		out->items[i] = *sorted[i];
	pfree(sorted);
	pfree(items);
	return true;
}
