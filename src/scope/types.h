/*
 * src/scope/types.h
 *		What a SMART scope string holds, as data: levels, letters, items, lists.
 */
#ifndef SMART_FHIR_SCOPE_TYPES_H
#define SMART_FHIR_SCOPE_TYPES_H

typedef enum ScopeKind
{
	SCOPE_KIND_RESOURCE,
	SCOPE_KIND_LAUNCH, /* launch, launch/patient, ... */
	SCOPE_KIND_OTHER
} ScopeKind;

typedef enum ScopeLevel
{
	SCOPE_LEVEL_PATIENT,
	SCOPE_LEVEL_USER,
	SCOPE_LEVEL_SYSTEM
} ScopeLevel;

/* Permission letters, in canonical order. */
#define SCOPE_C 0x01
#define SCOPE_R 0x02
#define SCOPE_U 0x04
#define SCOPE_D 0x08
#define SCOPE_S 0x10
#define SCOPE_CRUDS 0x1F

/*
 * Limits. A text beyond SCOPE_MAX_LENGTH, and alternatives that multiply to more scopes or
 * more text than the other two, are errors with ScopeError.limit set.
 */
#define SCOPE_MAX_LENGTH (16 * 1024 * 1024)
#define SCOPE_MAX_SPLIT_ITEMS 10000
#define SCOPE_MAX_SPLIT_BYTES (4 * 1024 * 1024)

/*
 * One name=value of a constraint, percent-decoded once. Alternatives are scopes of their own
 * ("a=1,2" is "a=1" and "a=2"), so a value holds a comma only where it is
 * escaped, where an alternative is empty (which spoils the scope) and where the name has a
 * modifier, whose alternatives need not be a union (":not").
 */
typedef struct ScopeParam
{
	char *name;
	char *value;
} ScopeParam;

typedef struct ScopeItem
{
	ScopeKind kind;
	ScopeLevel level;	 /* resource only, as all that follows */
	char *resource_type; /* "*" for all types */
	int permissions;	 /* SCOPE_* bits, never 0 */
	int n_params;
	ScopeParam *params; /* sorted by name, then value; no pair twice */
	char *text;			/* canonical token */
} ScopeItem;

typedef struct ScopeList
{
	int n_items;
	ScopeItem *items; /* canonical: merged, none covered by another, sorted by text */
} ScopeList;

#endif /* SMART_FHIR_SCOPE_TYPES_H */
