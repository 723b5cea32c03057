/*
 * src/scope/order.c
 *		Canonical lists as a lattice: text, covers, join and meet.
 *
 * The canonical form decides everything here: b is within a exactly when adding it to a changes
 * nothing. So covers, equality and text can never disagree.
 */
#include "postgres.h"

#include "scope/order.h"
#include "scope/set.h"

/* Text of the factors that the products of one meet may add up to. */
#define MAX_MEET_BYTES ((size_t) 2 * SCOPE_MAX_LENGTH)

/* Items of one list with the same level and type: items[from..to). */
typedef struct Group
{
	const ScopeItem *items;
	int from;
	int to;
} Group;

char *
scope_list_text(const ScopeList *list)
{
	size_t size = 1;
	char *text;
	char *out;

	for (int i = 0; i < list->n_items; i++)
		size += strlen(list->items[i].text) + 1;
	out = text = palloc(size);
	for (int i = 0; i < list->n_items; i++)
	{
		size_t len = strlen(list->items[i].text);

		if (i > 0)
			*out++ = ' ';
		memcpy(out, list->items[i].text, len);
		out += len;
	}
	*out = '\0';
	return text;
}

static bool
lists_are_equal(const ScopeList *a, const ScopeList *b)
{
	if (a->n_items != b->n_items)
		return false;
	for (int i = 0; i < a->n_items; i++)
	{
		if (strcmp(a->items[i].text, b->items[i].text) != 0)
			return false;
	}
	return true;
}

bool
scope_list_join(const ScopeList *a, const ScopeList *b, ScopeList *out)
{
	ScopeSet set;

	memset(out, 0, sizeof(*out));
	scope_set_init(&set);
	scope_set_add_list(&set, a);
	scope_set_add_list(&set, b);
	return scope_set_reduce(&set, out);
}

bool
scope_list_covers(const ScopeList *a, const ScopeList *b)
{
	ScopeList both;

	return lists_are_equal(a, b) || (scope_list_join(a, b, &both) && lists_are_equal(a, &both));
}

/* The group that begins at *at, which moves behind it; empty at the end of the level. */
static Group
next_group(const ScopeList *list, ScopeLevel level, int *at)
{
	Group group = {list->items, *at, *at};

	while (group.to < list->n_items)
	{
		const ScopeItem *item = &list->items[group.to];

		if (item->kind != SCOPE_KIND_RESOURCE || item->level != level ||
			strcmp(item->resource_type, list->items[group.from].resource_type) != 0)
			break;
		group.to++;
	}
	*at = group.to;
	return group;
}

static bool
group_is_empty(const Group *group)
{
	return group->from == group->to;
}

static const char *
group_type(const Group *group)
{
	return group->items[group->from].resource_type;
}

/* Add what each of one and each of the other grant together on a type. */
static bool
multiply(ScopeSet *set, const Group *a, const Group *b, const char *type, size_t *budget)
{
	for (int i = a->from; i < a->to; i++)
	{
		for (int j = b->from; j < b->to; j++)
		{
			const ScopeItem *left = &a->items[i];
			const ScopeItem *right = &b->items[j];
			size_t cost = strlen(left->text) + strlen(right->text);
			ScopeTerm *term;

			if (cost > *budget)
				return false;
			*budget -= cost;
			if ((left->permissions & right->permissions) == 0)
				continue;
			term = scope_set_add(set);
			term->level = left->level;
			term->resource_type = type;
			term->permissions = left->permissions & right->permissions;
			term->n_params = left->n_params + right->n_params;
			if (term->n_params == 0)
				continue;
			term->params = palloc(sizeof(ScopeParam) * term->n_params);
			if (left->n_params > 0)
				memcpy(term->params, left->params, sizeof(ScopeParam) * left->n_params);
			if (right->n_params > 0)
				memcpy(term->params + left->n_params,
					   right->params,
					   sizeof(ScopeParam) * right->n_params);
		}
	}
	return true;
}

/* Where the scopes of a level begin; they stand together, "*" first. */
static int
level_start(const ScopeList *list, ScopeLevel level)
{
	int at = 0;

	while (at < list->n_items &&
		   !(list->items[at].kind == SCOPE_KIND_RESOURCE && list->items[at].level == level))
		at++;
	return at;
}

static bool
meet_level(const ScopeList *a, const ScopeList *b, ScopeLevel level, ScopeSet *set, size_t *budget)
{
	int at_a = level_start(a, level);
	int at_b = level_start(b, level);
	Group group_a = next_group(a, level, &at_a);
	Group group_b = next_group(b, level, &at_b);
	Group all_a = {a->items, 0, 0};
	Group all_b = {b->items, 0, 0};

	if (!group_is_empty(&group_a) && strcmp(group_type(&group_a), "*") == 0)
	{
		all_a = group_a;
		group_a = next_group(a, level, &at_a);
	}
	if (!group_is_empty(&group_b) && strcmp(group_type(&group_b), "*") == 0)
	{
		all_b = group_b;
		group_b = next_group(b, level, &at_b);
	}
	if (!multiply(set, &all_a, &all_b, "*", budget))
		return false;

	/* types come in the same order in both lists */
	while (!group_is_empty(&group_a) || !group_is_empty(&group_b))
	{
		int order;

		if (group_is_empty(&group_a))
			order = 1;
		else if (group_is_empty(&group_b))
			order = -1;
		else
			order = strcmp(group_type(&group_a), group_type(&group_b));
		if (order == 0 && !multiply(set, &group_a, &group_b, group_type(&group_a), budget))
			return false;
		if (order <= 0)
		{
			if (!multiply(set, &group_a, &all_b, group_type(&group_a), budget))
				return false;
			group_a = next_group(a, level, &at_a);
		}
		if (order >= 0)
		{
			if (!multiply(set, &all_a, &group_b, group_type(&group_b), budget))
				return false;
			group_b = next_group(b, level, &at_b);
		}
	}
	return true;
}

bool
scope_list_meet(const ScopeList *a, const ScopeList *b, ScopeList *out)
{
	size_t budget = MAX_MEET_BYTES;
	ScopeSet set;
	int i = 0;
	int j = 0;

	memset(out, 0, sizeof(*out));
	scope_set_init(&set);
	for (ScopeLevel level = SCOPE_LEVEL_PATIENT; level <= SCOPE_LEVEL_SYSTEM; level++)
	{
		if (!meet_level(a, b, level, &set, &budget))
			return false;
	}

	/* tokens that are no resource scopes, by equality */
	while (i < a->n_items && j < b->n_items)
	{
		int order = strcmp(a->items[i].text, b->items[j].text);

		if (order == 0 && a->items[i].kind != SCOPE_KIND_RESOURCE)
			scope_set_add_other(&set, a->items[i].text);
		if (order <= 0)
			i++;
		if (order >= 0)
			j++;
	}
	return scope_set_reduce(&set, out);
}
