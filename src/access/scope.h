/*
 * src/access/scope.h
 *		Scopes compiled for the decision: what a scope text grants on one resource type.
 */
#ifndef SMART_FHIR_ACCESS_SCOPE_H
#define SMART_FHIR_ACCESS_SCOPE_H

#include "fhir/fhir.h"
#include "scope/types.h"

/* One scope that reaches a type. */
typedef struct AccessGrant
{
	ScopeLevel level;
	int permissions; /* SCOPE_* bits */
	int n_constraints;
	FhirConstraint **constraints; /* all must match */
	const char *text;			  /* the scope, for smart.explain() */
} AccessGrant;

typedef struct AccessGrants
{
	int n;
	AccessGrant *grants;
	int permissions[3]; /* by level: letters that some grant has */
} AccessGrants;

/*
 * What the scopes of a claim (*grants above) grant on a type (index of fhir_type_lookup; -1, an unknown type: nothing).
 * Cached; the result stays valid until access_grants() is called again for another scope text or type.
 */
extern const AccessGrants *access_grants(const char *scope, FhirVersion version, int type);

/* Changes whenever a result of access_grants() may have been freed. */
extern uint64 access_scopes_epoch(void);

/* Letters that "*" scopes of each level grant without constraint (for smart.allows('*', ..)). */
extern bool access_scope_has_wildcard(const char *scope, ScopeLevel level, int permissions);

#endif /* SMART_FHIR_ACCESS_SCOPE_H */
