/*
 * src/policy/stored.h
 *		What the catalogs hold of a table's protection, read as data.
 *
 * Anybody may put what looks like our policies on a table of his own, with any expression and any
 * options in it. So nothing here evaluates, simplifies or parses what it reads, nothing waits for a
 * lock on the relation, and what cannot be read so is said to be absent.
 */
#ifndef SMART_FHIR_POLICY_STORED_H
#define SMART_FHIR_POLICY_STORED_H

#include "nodes/primnodes.h"
#include "utils/jsonb.h"

#include "compat.h"

/* The policies of smart.protect(). */
enum
{
	OWN_SELECT,
	OWN_INSERT,
	OWN_UPDATE,
	OWN_DELETE,
	N_OWN_POLICIES
};

/* Name, command as in pg_policy, and the commands that USING and WITH CHECK name; NULL: none. */
typedef struct OwnPolicy
{
	const char *name;
	char command;
	const char *qual;
	const char *check;
} OwnPolicy;

extern const OwnPolicy own_policies[N_OWN_POLICIES];

/* One relation's policies of ours. */
typedef struct StoredPolicies
{
	FuncExpr *call; /* of smart_select, else of another one; NULL: there is none */
	Jsonb *options; /* of that call, when it names some that can be read; else NULL */
	bool own
		[N_OWN_POLICIES]; /* is it there as smart.protect() writes it, and says what the call says? */
} StoredPolicies;

extern void stored_policies(Oid relid, StoredPolicies *stored);

/* Are policies asked at all? False also of a relation that is not there. */
extern bool stored_is_enabled(Oid relid);

/* The call in a relation's policies, a copy, or NULL. */
extern FuncExpr *policy_call_stored(Oid relid);

/* A constant argument of a call that has this type; NULL: it is none, or NULL. */
extern Const *stored_constant(FuncExpr *call, int arg, Oid type);

/* The order_by of smart.protect(), or NULL. */
extern Node *stored_order(FuncExpr *call);

#endif /* SMART_FHIR_POLICY_STORED_H */
