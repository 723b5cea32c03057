/*
 * src/audit/row_patients.c
 *		The patients of a row, as the table's policies find them. See src/audit/row_patients.h.
 *
 * What the policies of a table say may be anybody's. Where they are no part of the statement (superusers,
 * BYPASSRLS), expressions in them are evaluated only if they are the reader's own or a superuser's, or
 * are made of columns, PostgreSQL's jsonb operators and smart.resource_json(), which protect() writes for
 * text columns: all of which do nothing but read, and raise no error. Any other function of ours may be
 * one that the reader alone may execute, that raises, or that acts.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "compat.h"
#include "audit/row_patients.h"
#include "policy/call.h"
#include "policy/policy.h"

struct RowPatients
{
	AccessTable table;
	Oid keys_type;
	int n_columns; /* of the relation */
	ExprState *keys;
	ExprState *resource;
	ExprState *type;
	ExprContext *econtext;
};

/* A call of smart.resource_json(text), as it is: a stored tree lacks what defaults would add. */
static bool
is_resource_json(const FuncExpr *call)
{
	char *name = get_func_name(call->funcid);
	char *schema = get_namespace_name(get_func_namespace(call->funcid));

	return name != NULL && schema != NULL && strcmp(schema, "smart") == 0 &&
		   strcmp(name, "resource_json") == 0 && list_length(call->args) == 1 &&
		   exprType(linitial(call->args)) == TEXTOID;
}

static bool
is_foreign(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Var:
		case T_Const:
		case T_RelabelType:
		case T_List:
			break;
		case T_FuncExpr:
			if (!is_resource_json((FuncExpr *) node))
				return true;
			break;
		case T_OpExpr:
			switch (((OpExpr *) node)->opfuncid)
			{
				case F_JSONB_OBJECT_FIELD:
				case F_JSONB_OBJECT_FIELD_TEXT:
				case F_JSONB_EXTRACT_PATH:
				case F_JSONB_EXTRACT_PATH_TEXT:
					break;
				default:
					return true;
			}
			break;
		default:
			return true;
	}
	return expression_tree_walker(node, is_foreign, context);
}

/* Would the reader run its expressions anyway, or are they no less than his? */
static bool
is_trusted(Relation rel)
{
	Oid owner = rel->rd_rel->relowner;

	return owner == GetUserId() || superuser_arg(owner) ||
		   check_enable_rls(RelationGetRelid(rel), InvalidOid, true) == RLS_ENABLED;
}

/* An argument of the policies' call, ready to be evaluated, or NULL. */
static ExprState *
prepare(Relation rel, FuncExpr *call, int arg)
{
	Node *expr = copyObject(list_nth(call->args, arg));

	fix_opfuncids(expr);
	if (is_trusted(rel))
		expr = (Node *) expression_planner((Expr *) expr);
	else if (is_foreign(expr, NULL))
		return NULL;
	return ExecInitExpr((Expr *) expr, NULL);
}

static bool
are_keys(Oid type)
{
	Oid element = get_element_type(type);

	type = OidIsValid(element) ? element : type;
	return type == TEXTOID || type == VARCHAROID || type == UUIDOID;
}

RowPatients *
row_patients_begin(Relation rel)
{
	FuncExpr *call = policy_call_of(rel);
	Const *options = call == NULL ? NULL : list_nth(call->args, POLICY_OPTIONS);
	RowPatients *rows;

	if (call == NULL || !IsA(options, Const) || options->constisnull ||
		options->consttype != JSONBOID)
		return NULL;
	rows = palloc0(sizeof(RowPatients));
	if (!policy_options_read(DatumGetJsonbPCopy(options->constvalue), &rows->table))
		return NULL;
	rows->n_columns = RelationGetNumberOfAttributes(rel);
	if (rows->table.has_patients)
	{
		rows->keys_type = getBaseType(exprType(list_nth(call->args, POLICY_PATIENTS)));
		if (!are_keys(rows->keys_type))
			return NULL;
		rows->keys = prepare(rel, call, POLICY_PATIENTS);
	}
	else
	{
		if (exprType(list_nth(call->args, POLICY_RESOURCE)) != JSONBOID ||
			exprType(list_nth(call->args, POLICY_TYPE)) != TEXTOID)
			return NULL;
		rows->resource = prepare(rel, call, POLICY_RESOURCE);
		rows->type = prepare(rel, call, POLICY_TYPE);
		if (rows->resource == NULL || rows->type == NULL)
			return NULL;
	}
	if (rows->table.has_patients && rows->keys == NULL)
		return NULL;
	rows->econtext = CreateStandaloneExprContext();
	return rows;
}

static void
add_keys(const FhirKeys *keys, AuditUnit *unit)
{
	for (int i = 0; i < keys->n; i++)
		unit_patient(unit, keys->keys[i].data, keys->keys[i].len);
}

static void
add_stored(RowPatients *rows, AuditUnit *unit)
{
	AccessRow row;
	bool isnull;
	Datum value = ExecEvalExpr(rows->keys, rows->econtext, &isnull);

	access_row_init(&row);
	policy_keys(&row, &rows->table, value, isnull, rows->keys_type);
	add_keys(&row.patients, unit);
	access_row_reset(&row);
}

static void
add_found(RowPatients *rows, AuditUnit *unit)
{
	FhirText row_type = {NULL, 0};
	FhirText no_id = {NULL, 0};
	FhirResource resource;
	FhirKeys keys;
	bool isnull;
	Datum value = ExecEvalExpr(rows->type, rows->econtext, &isnull);

	if (!isnull)
	{
		text *type = DatumGetTextPP(value);

		row_type = (FhirText){VARDATA_ANY(type), VARSIZE_ANY_EXHDR(type)};
	}
	value = ExecEvalExpr(rows->resource, rows->econtext, &isnull);
	if (isnull || !fhir_resource_init(&resource,
									  &DatumGetJsonbP(value)->root,
									  rows->table.version,
									  row_type,
									  no_id,
									  rows->table.base_url))
		return;
	fhir_keys_init(&keys);
	fhir_patients(&resource, rows->table.reading, &keys);
	add_keys(&keys, unit);
	fhir_keys_reset(&keys);
}

void
row_patients_add(RowPatients *rows, TupleTableSlot *slot, AuditUnit *unit)
{
	MemoryContext old;

	if (slot->tts_tupleDescriptor->natts < rows->n_columns)
	{
		unit_more_patients(unit);
		return;
	}
	ResetExprContext(rows->econtext);
	rows->econtext->ecxt_scantuple = slot;
	old = MemoryContextSwitchTo(rows->econtext->ecxt_per_tuple_memory);
	if (rows->table.has_patients)
		add_stored(rows, unit);
	else
		add_found(rows, unit);
	MemoryContextSwitchTo(old);
}
