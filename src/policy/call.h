/*
 * src/policy/call.h
 *		The calls of smart_internal.row_policy() in policies and in queries, as trees.
 */
#ifndef SMART_FHIR_POLICY_CALL_H
#define SMART_FHIR_POLICY_CALL_H

#include "nodes/primnodes.h"
#include "utils/rel.h"

#include "compat.h"

/* pg_operator.dat: uuid = uuid has no symbol of its own in all versions. */
#define UUID_EQUAL_OPERATOR 2972

/* Arguments of smart_internal.row_policy(). */
enum
{
	POLICY_COMMAND,
	POLICY_PATIENTS,
	POLICY_RESOURCE,
	POLICY_TYPE,
	POLICY_ID,
	POLICY_OPTIONS,
	POLICY_N_ARGS,
	/* beside them, for the index alone: what protect() was told as order_by */
	POLICY_ORDER = POLICY_N_ARGS
};

/*
 * The call of smart_internal.row_policy() in the SELECT policy of a relation, or NULL when it is not
 * protected. Points into the relcache: copy it, or keep the relation open.
 */
extern FuncExpr *policy_call_of(Relation rel);

/* The node as a call of smart_internal.row_policy(), or NULL. */
extern FuncExpr *policy_as_call(Node *node);
/* A copy of a call of smart_internal.row_policy() that is not folded: of row_check(); NULL without one. */
extern FuncExpr *policy_as_row_check(FuncExpr *call);
/*
 * Make SELECT, in every call of smart_internal.row_policy() in an expression, the SELECT of rows that the
 * statement itself writes. In place.
 */
extern void policy_ask_of_target(Node *expression);
/*
 * Make every call of smart_internal.row_policy() in an expression one of smart_internal.row_check(): it is asked
 * about rows that are not in the table yet. In place; were there any?
 */
extern bool policy_ask_by_row(Node *expression);

/* A function in the schema of another one, by its name and argument types; or InvalidOid. */
extern Oid policy_function_beside(Oid function, const char *name, int nargs, const Oid *argtypes);

#endif /* SMART_FHIR_POLICY_CALL_H */
