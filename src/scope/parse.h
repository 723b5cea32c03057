/*
 * src/scope/parse.h
 *		SMART scope strings to items. Pure: no ereport, no catalog, no FHIR.
 *
 * Grammar and rules: SMART App Launch 2.2 "scopes and launch context",
 * RFC 6749 3.3, smart-rules 1.1 to 1.5. Memory is palloc'd in CurrentMemoryContext.
 */
#ifndef SMART_FHIR_SCOPE_PARSE_H
#define SMART_FHIR_SCOPE_PARSE_H

#include "scope/types.h"

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

/* Is it "*" or fit to be the name of a type, known or not? */
extern bool scope_type_is_name(const char *text, size_t len);

#endif /* SMART_FHIR_SCOPE_PARSE_H */
