/*
 * src/policy/order.c
 *		smart_internal.index_orders_by(): is the second column of an index the order that protect() was told?
 *
 * Compares expressions, not their texts, which are spelled in many ways.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_index.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(smart_index_orders_by);

/* An expression over a relation's columns, as the planner sees it. */
static Node *
expression_of(Relation rel, const char *source)
{
	List *raw = raw_parser(source, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = (SelectStmt *) linitial_node(RawStmt, raw)->stmt;
	ParseState *pstate = make_parsestate(NULL);
	Node *expr;

	addNSItemToQuery(pstate,
					 addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL, false, true),
					 true,
					 true,
					 true);
	if (list_length(select->targetList) != 1)
		return NULL;
	expr = transformExpr(
		pstate, linitial_node(ResTarget, select->targetList)->val, EXPR_KIND_INDEX_EXPRESSION);
	assign_expr_collations(pstate, expr);
	free_parsestate(pstate);
	return eval_const_expressions(NULL, expr);
}

/* The second key of an index as an expression, or NULL. */
static Node *
second_key(Relation rel, Relation index)
{
	List *expressions = RelationGetIndexExpressions(index);
	AttrNumber first = index->rd_index->indkey.values[0];
	AttrNumber attnum = index->rd_index->indkey.values[1];
	Form_pg_attribute attribute;

	if (attnum == 0)
		return list_nth(expressions, first == 0 ? 1 : 0);
	attribute = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	return (Node *) makeVar(
		1, attnum, attribute->atttypid, attribute->atttypmod, attribute->attcollation, 0);
}

Datum
smart_index_orders_by(PG_FUNCTION_ARGS)
{
	Relation index = try_relation_open(PG_GETARG_OID(0), AccessShareLock);
	Relation rel;
	bool same = false;

	if (index == NULL || index->rd_index == NULL)
		PG_RETURN_BOOL(false);
	rel = try_relation_open(index->rd_index->indrelid, AccessShareLock);
	if (rel != NULL && index->rd_index->indnkeyatts >= 2)
		same = equal(second_key(rel, index),
					 expression_of(rel, text_to_cstring(PG_GETARG_TEXT_PP(1))));
	if (rel != NULL)
		relation_close(rel, AccessShareLock);
	relation_close(index, AccessShareLock);
	PG_RETURN_BOOL(same);
}
