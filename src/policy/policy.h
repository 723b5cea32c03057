/*
 * src/policy/policy.h
 *		What smart.protect() wrote into a table's policies, read back.
 */
#ifndef SMART_FHIR_POLICY_H
#define SMART_FHIR_POLICY_H

#include "fmgr.h"
#include "nodes/primnodes.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

#include "access/access.h"
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
	POLICY_N_ARGS
};

/*
 * The call of smart_internal.row_policy() in the SELECT policy of a relation, or NULL when it is not
 * protected. Points into the relcache: copy it, or keep the relation open.
 */
extern FuncExpr *policy_call_of(Relation rel);

/* The same from the catalog, also while row-level security is switched off on the table. */
extern FuncExpr *policy_call_stored(Oid relid);
/* A copy of a call of smart_internal.row_policy() that is not folded: of row_check(); NULL without one. */
extern FuncExpr *policy_as_row_check(FuncExpr *call);
/*
 * Make every call of smart_internal.row_policy() in an expression one of smart_internal.row_check(): it is asked
 * about rows that are not in the table yet. In place; were there any?
 */
extern bool policy_ask_by_row(Node *expression);

/* Is a stored expression (nodeToString) such a call and nothing beside it? */
extern bool policy_is_call(const char *expression);

/*
 * Options that a policy carries, as AccessTable; raises 55000 when they were made for other
 * generated tables than these. Texts are copied to CurrentMemoryContext.
 */
extern void policy_options(Jsonb *options, AccessTable *table);

/* Do they say that stored keys are spelled Patient/<id>? */
extern bool policy_keys_are_references(Jsonb *options);
/* Were they made for these generated tables? */
extern bool policy_options_are_current(Jsonb *options);
/* A text among the options, palloc'd, or NULL. */
extern char *policy_option_text(Jsonb *options, const char *name);
/* SELECT, INSERT CHECK, ...; *check: of a new row, raises instead of returning false. */
extern AccessCommand policy_command_parse(const char *name, bool *check);

/* A function in the schema of another one, by its name and argument types; or InvalidOid. */
extern Oid policy_function_beside(Oid function, const char *name, int nargs, const Oid *argtypes);

/* A text argument of a function; data NULL when it is null. */
extern FhirText policy_text_arg(FunctionCallInfo fcinfo, int arg);

/* Put a patients argument (text, text[], uuid or uuid[]) into row->patients or row->members. */
extern void policy_keys(AccessRow *row, const AccessTable *table, Datum value, bool isnull,
						Oid type);

/* Error 42501 "insufficient scope" (RFC 6750 insufficient_scope). type may be NULL. */
extern void policy_raise_insufficient(const char *type, const char *letters)
	pg_attribute_noreturn();

#endif /* SMART_FHIR_POLICY_H */
