/*
 * src/policy/stored_table.c
 *		How the rows of a protected table are read where they lie. See stored_table.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "policy/policy.h"
#include "policy/stored.h"
#include "policy/stored_table.h"

/* ---- the indexes ---- */

/* jsonb ->> text has no symbol in all versions (pg_operator.dat). */
#define JSONB_MEMBER_TEXT_OPERATOR 3477

/* A column that an id is a cast of, or 0. */
static AttrNumber
column_of(Node *node)
{
	for (;;)
	{
		if (IsA(node, RelabelType))
			node = (Node *) ((RelabelType *) node)->arg;
		else if (IsA(node, CoerceViaIO))
			node = (Node *) ((CoerceViaIO *) node)->arg;
		else
			break;
	}
	return IsA(node, Var) ? ((Var *) node)->varattno : 0;
}

/* resource ->> 'id'? */
static bool
is_member_id(Node *node, Node *resource)
{
	OpExpr *op = (OpExpr *) node;
	Const *name;

	if (!IsA(node, OpExpr) || op->opno != JSONB_MEMBER_TEXT_OPERATOR ||
		!equal(linitial(op->args), resource))
		return false;
	name = lsecond(op->args);
	return IsA(name, Const) && !name->constisnull && name->consttype == TEXTOID &&
		   strcmp(TextDatumGetCString(name->constvalue), "id") == 0;
}

static List *
index_expressions(Relation index)
{
	bool isnull;
	Datum stored =
		SysCacheGetAttr(INDEXRELID, index->rd_indextuple, Anum_pg_index_indexprs, &isnull);

	/* as stored: neither const-folded nor evaluated */
	return isnull ? NIL : (List *) stringToNode(TextDatumGetCString(stored));
}

/* Is the first key of a btree or hash index the id? */
static bool
is_id_index(Relation rel, Relation index, FuncExpr *call, StoredTable *table)
{
	Node *id = list_nth(call->args, POLICY_ID);
	Node *resource = list_nth(call->args, POLICY_RESOURCE);
	AttrNumber attnum = index->rd_index->indkey.values[0];
	Oid am = index->rd_rel->relam;
	Oid operator;

	if ((am != BTREE_AM_OID && am != HASH_AM_OID) || RelationGetIndexPredicate(index) != NIL)
		return false;
	if (attnum != 0)
	{
		if (attnum < 0 || IsA(id, Const) || column_of(id) != attnum)
			return false;
		table->id_type = getBaseType(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid);
		if (table->id_type == VARCHAROID)
			table->id_type = TEXTOID;
		if (table->id_type != TEXTOID && table->id_type != UUIDOID && table->id_type != INT2OID &&
			table->id_type != INT4OID && table->id_type != INT8OID)
			return false;
	}
	else
	{
		Node *key = linitial(index_expressions(index));

		if (IsA(id, Const) ? !is_member_id(key, resource) : !equal(key, id))
			return false;
		table->id_type = TEXTOID;
	}
	if (index->rd_opcintype[0] != table->id_type)
		return false;
	table->id_strategy = am == BTREE_AM_OID ? BTEqualStrategyNumber : HTEqualStrategyNumber;
	operator= get_opfamily_member(
		index->rd_opfamily[0], table->id_type, table->id_type, table->id_strategy);
	if (!OidIsValid(operator))
		return false;
	table->id_equal = get_opcode(operator);
	table->id_collation = index->rd_indcollation[0];
	return true;
}

/* Is it the index of smart_internal.followed_references() that this table needs? */
static bool
is_named_index(Relation index, FuncExpr *call, const StoredTable *table)
{
	FuncExpr *key;
	Const *path;
	Const *base_url;

	if (index->rd_rel->relam != GIN_AM_OID || index->rd_index->indkey.values[0] != 0 ||
		RelationGetIndexPredicate(index) != NIL)
		return false;
	key = linitial(index_expressions(index));
	if (!IsA(key, FuncExpr) || list_length(key->args) != 3 ||
		get_func_namespace(key->funcid) != get_func_namespace(call->funcid) ||
		strcmp(get_func_name(key->funcid), "followed_references") != 0 ||
		!equal(linitial(key->args), list_nth(call->args, POLICY_RESOURCE)))
		return false;
	path = lsecond(key->args);
	base_url = lthird(key->args);
	if (!IsA(path, Const) || path->constisnull || !IsA(base_url, Const) ||
		strcmp(TextDatumGetCString(path->constvalue), table->path) != 0)
		return false;
	if (base_url->constisnull || table->table.base_url.data == NULL)
		return base_url->constisnull && table->table.base_url.data == NULL;
	return strcmp(TextDatumGetCString(base_url->constvalue), table->table.base_url.data) == 0;
}

static void
find_indexes(Relation rel, FuncExpr *call, StoredTable *table)
{
	List *indexes = RelationGetIndexList(rel);
	ListCell *cell;

	foreach(cell, indexes)
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		if (index->rd_index->indisvalid)
		{
			/* one that is unique, if there are several */
			if ((!OidIsValid(table->id_index) || index->rd_index->indisunique) &&
				is_id_index(rel, index, call, table))
				table->id_index = RelationGetRelid(index);
			else if (table->path != NULL && is_named_index(index, call, table))
				table->named_index = RelationGetRelid(index);
		}
		index_close(index, NoLock);
	}
	list_free(indexes);
}

/* ---- a table ---- */

StoredTable *
stored_table(Relation rel)
{
	FuncExpr *call = policy_call_of(rel);
	StoredTable *table;
	Const *options;

	if (rel->rd_rel->relkind != RELKIND_RELATION)
		return NULL;
	if (call == NULL)
		call = policy_call_stored(RelationGetRelid(rel));
	if (call == NULL)
		return NULL;
	call = copyObject(call);
	options = list_nth(call->args, POLICY_OPTIONS);
	if (!IsA(options, Const) || options->constisnull)
		return NULL;
	table = palloc0(sizeof(StoredTable));
	table->relid = RelationGetRelid(rel);
	table->name = pstrdup(RelationGetRelationName(rel));
	table->owner = rel->rd_rel->relowner;
	policy_options(DatumGetJsonbP(options->constvalue), &table->table);
	table->path = policy_option_text(DatumGetJsonbP(options->constvalue), "follow");
	if (table->path != NULL)
	{
		TupleDesc desc = RelationGetDescr(rel);

		for (int i = 0; i < desc->natts; i++)
		{
			Form_pg_attribute attribute = TupleDescAttr(desc, i);

			if (attribute->attisdropped ||
				strcmp(NameStr(attribute->attname), FOLLOWED_COLUMN) != 0)
				continue;
			if (attribute->atttypid != TEXTOID || attribute->attgenerated)
				ereport(ERROR,
						errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of table \"%s\" must be of type text",
							   FOLLOWED_COLUMN,
							   RelationGetRelationName(rel)),
						err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
						err_generic_string(PG_DIAG_CONSTRAINT_NAME, "protect"));
			table->column = attribute->attnum;
		}
		if (table->column == 0)
			ereport(ERROR,
					errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("table \"%s\" has no column \"%s\"",
						   RelationGetRelationName(rel),
						   FOLLOWED_COLUMN),
					errhint("Run smart.protect() again."),
					err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
					err_generic_string(PG_DIAG_CONSTRAINT_NAME, "protect"));
	}
	table->keys_type = getBaseType(exprType(list_nth(call->args, POLICY_PATIENTS)));
	table->econtext = CreateStandaloneExprContext();
	table->slot = MakeSingleTupleTableSlot(CreateTupleDescCopyConstr(RelationGetDescr(rel)),
										   table_slot_callbacks(rel));
	find_indexes(rel, call, table);
	for (int i = POLICY_PATIENTS; i <= POLICY_ID; i++)
		table->args[i] = ExecInitExpr(expression_planner(list_nth(call->args, i)), NULL);
	return table;
}
