/*
 * src/scope/parse.h
 *		SMART scope strings to items and back. Pure: no ereport, no catalog, no FHIR.
 *
 * Grammar and rules: SMART App Launch 2.2 "scopes and launch context",
 * RFC 6749 3.3, smart-rules 1.1 to 1.5. Memory is palloc'd in CurrentMemoryContext.
 */
#ifndef SMART_FHIR_SCOPE_PARSE_H
#define SMART_FHIR_SCOPE_PARSE_H

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

typedef struct ScopeError
{
	const char *reason; /* static text: "the permission is empty", ... */
	char *token;		/* the offending token; NULL when the whole text is */
	int position;		/* byte offset in the text */
	bool limit;			/* well-formed, but too much */
} ScopeError;

/* Strict: false and *error for text that is malformed. "" is the empty list. */
extern bool scope_parse(const char *text, size_t len, ScopeList *out, ScopeError *error);

typedef struct ScopeIgnored
{
	char *text;
	const char *reason; /* static text */
} ScopeIgnored;

/*
 * The scope claim of a verified token (OC-4, OC-6): never fails. Malformed resource
 * scopes are left out and listed; text outside the alphabet of RFC 6749 spoils the
 * whole claim (empty list, one entry in ignored).
 */
extern void scope_parse_claim(const char *text, size_t len, ScopeList *out, int *n_ignored,
							  ScopeIgnored **ignored);

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

/* "rs" -> bits. 0 when the text is not letters in the order cruds, each once. */
extern int scope_permissions_parse(const char *text, size_t len);
/* Is it "*" or fit to be the name of a type, known or not? */
extern bool scope_type_is_name(const char *text, size_t len);
/* bits -> "rs"; buf holds at least 6 bytes. */
extern char *scope_permissions_text(int permissions, char *buf);

#endif /* SMART_FHIR_SCOPE_PARSE_H */
