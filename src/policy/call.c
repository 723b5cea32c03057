/*
 * src/policy/call.c
 *		The calls of smart_internal.row_policy() in policies and in queries, as trees.
 *
 * Finds them and rewrites them. Knows no sessions, rows or plans.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rowsecurity.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "policy/call.h"
#include "policy/options.h"

Oid
policy_function_beside(Oid function, const char *name, int nargs, const Oid *argtypes)
{
	/* documented, since plans show it; all else that a folded policy calls is internal */
	bool is_public = strcmp(name, "patient_key") == 0;

	return GetSysCacheOid3(PROCNAMEARGSNSP,
						   Anum_pg_proc_oid,
						   CStringGetDatum(name),
						   PointerGetDatum(buildoidvector(argtypes, nargs)),
						   ObjectIdGetDatum(is_public ? get_namespace_oid("smart", false)
													  : get_func_namespace(function)));
}

FuncExpr *
policy_as_call(Node *node)
{
	FuncExpr *call = (FuncExpr *) node;
	char *name;
	char *schema;

	if (call == NULL || !IsA(call, FuncExpr) ||
		(list_length(call->args) != POLICY_N_ARGS && list_length(call->args) != POLICY_ORDER + 1))
		return NULL;
	name = get_func_name(call->funcid);
	schema = get_namespace_name(get_func_namespace(call->funcid));
	if (name != NULL && strcmp(name, "row_policy") == 0 && schema != NULL &&
		strcmp(schema, "smart_internal") == 0)
		return call;
	return NULL;
}

FuncExpr *
policy_call_of(Relation rel)
{
	ListCell *cell;

	if (!rel->rd_rel->relrowsecurity || rel->rd_rsdesc == NULL)
		return NULL;
	foreach(cell, rel->rd_rsdesc->policies)
	{
		RowSecurityPolicy *policy = lfirst(cell);
		FuncExpr *call =
			policy->polcmd == ACL_SELECT_CHR ? policy_as_call((Node *) policy->qual) : NULL;

		if (call != NULL)
			return call;
	}
	return NULL;
}

FuncExpr *
policy_as_row_check(FuncExpr *call)
{
	static const Oid argtypes[] = {TEXTOID, ANYOID, JSONBOID, TEXTOID, TEXTOID, JSONBOID};
	Const *options = list_nth(call->args, POLICY_OPTIONS);
	Oid function = policy_function_beside(call->funcid, "row_check", POLICY_N_ARGS, argtypes);
	FuncExpr *check;

	if (!OidIsValid(function))
		return NULL;
	check = copyObject(call);
	check->funcid = function;
	check->args = list_truncate(check->args, POLICY_N_ARGS);
	/* keys that row_check() can find in the resource are not worth computing for it */
	if (IsA(options, Const) && !options->constisnull &&
		!policy_option_bool(DatumGetJsonbP(options->constvalue), "patients"))
		lfirst(list_nth_cell(check->args, POLICY_PATIENTS)) =
			makeNullConst(TEXTARRAYOID, -1, DEFAULT_COLLATION_OID);
	return check;
}

/* Goes into no sub-select: what stands there is not the target. */
static bool
ask_of_target(Node *node, void *context)
{
	FuncExpr *call;
	Const *command;

	if (node == NULL)
		return false;
	call = IsA(node, FuncExpr) ? policy_as_call(node) : NULL;
	if (call == NULL)
		return expression_tree_walker(node, ask_of_target, context);
	command = list_nth(call->args, POLICY_COMMAND);
	if (IsA(command, Const) && !command->constisnull && command->consttype == TEXTOID &&
		strcmp(TextDatumGetCString(command->constvalue), "SELECT") == 0)
		command->constvalue = CStringGetTextDatum(COMMAND_TARGET_NAME);
	return false;
}

void
policy_ask_of_target(Node *expression)
{
	(void) ask_of_target(expression, NULL);
}

static bool
ask_by_row(Node *node, void *context)
{
	FuncExpr *call;
	FuncExpr *check;

	if (node == NULL)
		return false;
	call = IsA(node, FuncExpr) ? policy_as_call(node) : NULL;
	if (call == NULL)
		return expression_tree_walker(node, ask_by_row, context);
	check = policy_as_row_check(call);
	if (check != NULL)
	{
		call->funcid = check->funcid;
		call->args = check->args;
	}
	*(bool *) context = true;
	return false;
}

bool
policy_ask_by_row(Node *expression)
{
	bool found = false;

	(void) ask_by_row(expression, &found);
	return found;
}
