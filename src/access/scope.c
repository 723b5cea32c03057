/*
 * src/access/scope.c
 *		The compiled form of scopes, cached.
 *
 * A scope whose parameter is unknown, unsupported or has an invalid value grants nothing at
 * all (G-6); on "*" only parameters of the row's type count (G-13). Knows no session.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "access/scope.h"
#include "compat.h"

#define MAX_COMPILED 64
#define MAX_IGNORED 1000
#define LARGE_SCOPE_BYTES (1024 * 1024)
/* Once one scope text holds more than this for the types it was asked for, it starts anew. */
#define MAX_TYPES_BYTES (8 * 1024 * 1024)

typedef struct TypeGrants
{
	struct TypeGrants *next;
	FhirVersion version;
	int type;
	AccessGrants grants;
} TypeGrants;

typedef struct CompiledScope
{
	MemoryContext context;
	char *text;
	uint32 hash;
	uint64 last_used;
	int n_scopes;
	ScopeList *scopes; /* one a token: its alternatives */
	MemoryContext types_context;
	TypeGrants *types;
} CompiledScope;

static MemoryContext scopes_context = NULL;
static CompiledScope *compiled[MAX_COMPILED];
static int n_compiled = 0;
static CompiledScope *latest = NULL;
static uint64 use_counter = 0;
static uint64 scopes_epoch = 1;

/* Why a resource scope grants nothing in any FHIR version; NULL when it does in one. */
static const char *
scope_problem(const ScopeItem *item)
{
	const char *problem = NULL;

	for (int version = 0; version < FHIR_VERSIONS; version++)
	{
		const char *reason = NULL;
		int type = -1;

		if (strcmp(item->resource_type, "*") != 0)
		{
			type = fhir_type_lookup(version, item->resource_type, strlen(item->resource_type));
			if (type < 0)
				reason = "unknown resource type";
		}
		for (int i = 0; i < item->n_params && reason == NULL; i++)
		{
			const ScopeParam *param = &item->params[i];

			if (type < 0 ? fhir_constraint_check_any(version, param->name, param->value, &reason)
						 : fhir_constraint_compile(
							   version, type, param->name, param->value, &reason) != NULL)
				reason = NULL;
		}
		if (reason == NULL)
			return NULL;
		/* the first version that knows the type has the best reason */
		if (problem == NULL || (type >= 0 && strcmp(problem, "unknown resource type") == 0))
			problem = reason;
	}
	return problem;
}

static List *
ignore(List *ignored, const char *scope, const char *reason)
{
	if (list_length(ignored) >= 2 * MAX_IGNORED)
		return ignored;
	ignored = lappend(ignored, unconstify(char *, scope));
	return lappend(ignored, unconstify(char *, reason));
}

/* Do some alternatives of one scope token grant something, and others nothing anywhere? */
static const char *
spoiling_alternative(const ScopeList *alternatives)
{
	const char *reason = NULL;
	int n_problems = 0;

	for (int i = 0; i < alternatives->n_items && alternatives->n_items > 1; i++)
	{
		const char *problem = scope_problem(&alternatives->items[i]);

		if (problem != NULL)
		{
			reason = problem;
			n_problems++;
		}
	}
	return n_problems < alternatives->n_items ? reason : NULL;
}

/*
 * The resource scopes of the claim that the issuer may grant, as they were written, for
 * access_grants(). The scope type splits a value's alternatives into scopes of their own; here
 * they have to stay together, since an invalid one spoils its whole scope (`date=2020,nonsense`).
 */
static char *
claim_grants(const char *claim, int levels, List **ignored)
{
	StringInfoData kept;
	const char *at = claim;

	initStringInfo(&kept);
	for (;;)
	{
		size_t len = strcspn(at, " ");
		ScopeList list;
		ScopeIgnored *bad;
		int n_bad;

		CHECK_FOR_INTERRUPTS();
		if (memchr(at, '/', len) != NULL)
		{
			scope_parse_claim(at, len, &list, &n_bad, &bad);
			if (n_bad == 0 && list.n_items > 0 && list.items[0].kind == SCOPE_KIND_RESOURCE &&
				(levels & (1 << list.items[0].level)))
			{
				const char *reason = spoiling_alternative(&list);

				if (reason != NULL)
					*ignored = ignore(*ignored, pnstrdup(at, len), reason);
				appendBinaryStringInfo(&kept, at, len);
				appendStringInfoChar(&kept, ' ');
			}
		}
		at += len;
		if (*at == '\0')
			break;
		at++;
	}
	return kept.data;
}

char *
access_scope_from_claim(const char *claim, bool malformed, int levels, char **grants,
						List **ignored)
{
	static const char *const level_reasons[] = {"the issuer may not grant patient/",
												"the issuer may not grant user/",
												"the issuer may not grant system/"};
	ScopeList list;
	ScopeIgnored *bad = NULL;
	int n_bad = 0;
	int kept = 0;

	*ignored = NIL;
	*grants = pstrdup("");
	if (malformed)
	{
		*ignored = ignore(*ignored, "", "the scope claim is malformed");
		return pstrdup("");
	}
	scope_parse_claim(claim, strlen(claim), &list, &n_bad, &bad);
	for (int i = 0; i < n_bad; i++)
		*ignored = ignore(*ignored, bad[i].text ? bad[i].text : "", bad[i].reason);
	for (int i = 0; i < list.n_items; i++)
	{
		ScopeItem *item = &list.items[i];

		if (item->kind == SCOPE_KIND_RESOURCE)
		{
			const char *problem;

			if (!(levels & (1 << item->level)))
			{
				*ignored = ignore(*ignored, item->text, level_reasons[item->level]);
				continue;
			}
			problem = scope_problem(item);
			if (problem != NULL)
				*ignored = ignore(*ignored, item->text, problem);
		}
		list.items[kept++] = *item;
	}
	list.n_items = kept;
	/* one byte outside the alphabet has spoilt the claim as a whole */
	if (list.n_items > 0)
		*grants = claim_grants(claim, levels, ignored);
	return scope_list_text(&list);
}

/* Tokens that were accepted by claim_grants(), each with its alternatives. */
static void
parse_scopes(CompiledScope *scope)
{
	int capacity = 16;
	const char *at = scope->text;

	scope->scopes = palloc(sizeof(ScopeList) * capacity);
	for (; *at; at += strspn(at, " "))
	{
		size_t len = strcspn(at, " ");
		ScopeIgnored *bad;
		int n_bad;

		CHECK_FOR_INTERRUPTS();
		if (scope->n_scopes == capacity)
		{
			capacity *= 2;
			scope->scopes = repalloc_huge(scope->scopes, sizeof(ScopeList) * capacity);
		}
		scope_parse_claim(at, len, &scope->scopes[scope->n_scopes], &n_bad, &bad);
		if (n_bad == 0)
			scope->n_scopes++;
		at += len;
	}
}

static CompiledScope *
compiled_scope(const char *text)
{
	uint32 hash = hash_bytes((const unsigned char *) text, strlen(text));
	CompiledScope *scope;
	MemoryContext context;
	MemoryContext old;
	int slot;

	if (latest != NULL && latest->hash == hash && strcmp(latest->text, text) == 0)
		return latest;
	for (int i = 0; i < n_compiled; i++)
	{
		if (compiled[i]->hash == hash && strcmp(compiled[i]->text, text) == 0)
		{
			compiled[i]->last_used = ++use_counter;
			return latest = compiled[i];
		}
	}

	/* Build it whole before it is entered, so an error leaves nothing half-done. */
	if (scopes_context == NULL)
		scopes_context =
			AllocSetContextCreate(TopMemoryContext, "smart_fhir scopes", ALLOCSET_SMALL_SIZES);
	context = AllocSetContextCreate(CurrentMemoryContext, "smart_fhir scope", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	scope = palloc0(sizeof(CompiledScope));
	scope->context = context;
	scope->types_context =
		AllocSetContextCreate(context, "smart_fhir scope types", ALLOCSET_SMALL_SIZES);
	scope->text = pstrdup(text);
	scope->hash = hash;
	parse_scopes(scope);
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, scopes_context);

	scopes_epoch++;
	/* large ones are not kept beside another */
	for (int i = n_compiled - 1; i >= 0; i--)
	{
		if (MemoryContextMemAllocated(compiled[i]->context, true) > LARGE_SCOPE_BYTES)
		{
			MemoryContextDelete(compiled[i]->context);
			compiled[i] = compiled[--n_compiled];
		}
	}
	latest = NULL;
	if (n_compiled < MAX_COMPILED)
		slot = n_compiled++;
	else
	{
		slot = 0;
		for (int i = 1; i < n_compiled; i++)
			if (compiled[i]->last_used < compiled[slot]->last_used)
				slot = i;
		MemoryContextDelete(compiled[slot]->context);
	}
	scope->last_used = ++use_counter;
	compiled[slot] = scope;
	return latest = scope;
}

uint64
access_scopes_epoch(void)
{
	return scopes_epoch;
}

/* Compile one scope for a type; false when it grants nothing there. */
static bool
compile_grant(const ScopeItem *item, FhirVersion version, int type, AccessGrant *grant)
{
	const char *name = fhir_type_name(version, type);
	const char *reason;

	if (item->kind != SCOPE_KIND_RESOURCE)
		return false;
	if (strcmp(item->resource_type, "*") != 0 && strcmp(item->resource_type, name) != 0)
		return false;
	grant->level = item->level;
	grant->permissions = item->permissions;
	grant->text = item->text;
	grant->n_constraints = item->n_params;
	grant->constraints = palloc(sizeof(FhirConstraint *) * Max(item->n_params, 1));
	for (int i = 0; i < item->n_params; i++)
	{
		grant->constraints[i] = fhir_constraint_compile(
			version, type, item->params[i].name, item->params[i].value, &reason);
		if (grant->constraints[i] == NULL)
			return false;
	}
	return true;
}

/* All grants of a scope text on a type, in CurrentMemoryContext. */
static TypeGrants *
compile_type(const CompiledScope *scope, FhirVersion version, int type)
{
	TypeGrants *entry = palloc0(sizeof(TypeGrants));
	AccessGrants *grants = &entry->grants;
	int capacity = 4;

	entry->version = version;
	entry->type = type;
	grants->grants = palloc(sizeof(AccessGrant) * capacity);
	for (int i = 0; i < scope->n_scopes; i++)
	{
		ScopeList *alternatives = &scope->scopes[i];
		int before = grants->n;

		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j < alternatives->n_items; j++)
		{
			if (grants->n == capacity)
			{
				capacity *= 2;
				grants->grants = repalloc_huge(grants->grants, sizeof(AccessGrant) * capacity);
			}
			if (!compile_grant(&alternatives->items[j], version, type, &grants->grants[grants->n]))
			{
				/* one that means nothing here spoils the others */
				grants->n = before;
				break;
			}
			grants->n++;
		}
	}
	for (int i = 0; i < grants->n; i++)
		grants->permissions[grants->grants[i].level] |= grants->grants[i].permissions;
	/* most scopes name other types: keep no room for them */
	grants->grants = repalloc(grants->grants, sizeof(AccessGrant) * Max(grants->n, 1));
	return entry;
}

const AccessGrants *
access_grants(const char *text, FhirVersion version, int type)
{
	static const AccessGrants nothing = {0, NULL, {0, 0, 0}};
	CompiledScope *scope;
	TypeGrants *entry;
	MemoryContext old;

	if (type < 0)
		return &nothing;
	scope = compiled_scope(text);
	for (entry = scope->types; entry != NULL; entry = entry->next)
		if (entry->version == version && entry->type == type)
			return &entry->grants;

	/* what an error in compile_type() left behind counts too */
	if (MemoryContextMemAllocated(scope->types_context, true) > MAX_TYPES_BYTES)
	{
		scopes_epoch++;
		scope->types = NULL;
		MemoryContextReset(scope->types_context);
	}
	old = MemoryContextSwitchTo(scope->types_context);
	entry = compile_type(scope, version, type);
	MemoryContextSwitchTo(old);
	entry->next = scope->types;
	scope->types = entry;
	return &entry->grants;
}

bool
access_scope_has_wildcard(const char *text, ScopeLevel level, int permissions)
{
	CompiledScope *scope = compiled_scope(text);
	int found = 0;

	for (int i = 0; i < scope->n_scopes; i++)
	{
		const ScopeItem *item = scope->scopes[i].items;

		if (scope->scopes[i].n_items == 1 && item->level == level && item->n_params == 0 &&
			strcmp(item->resource_type, "*") == 0)
			found |= item->permissions;
	}
	return (found & permissions) == permissions;
}
