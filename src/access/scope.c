/*
 * src/access/scope.c
 *		The compiled form of scopes, cached.
 *
 * A scope whose parameter is unknown, unsupported or has an invalid value grants nothing at
 * all (G-6); on "*" only parameters of the row's type count (G-13). Knows no session.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "access/scope.h"
#include "compat.h"
#include "scope/parse.h"

#define MAX_COMPILED 64
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

/* Tokens that session_scope_from_claim() let through, each with its alternatives. */
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
