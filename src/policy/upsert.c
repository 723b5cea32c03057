/*
 * src/policy/upsert.c
 *		The WHERE of an ON CONFLICT action, behind the policies of the row that is met.
 *
 * Releases of PostgreSQL before 2026-11-12 evaluate it first (CVE-2026-120154): a function in it is
 * called with the values of a row that the policies hide. Here it becomes
 *     CASE WHEN the policies' expressions THEN the WHERE ELSE true END
 * and the checks that follow refuse the hidden row, as in later releases. Knows nothing of what the
 * policies say: they may be anybody's.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"

#include "compat.h"
#include "policy/upsert.h"

/* What the row that is met must pass, copied; NIL when the table has no policies for this user. */
static List *
conflict_checks(const Query *query)
{
	List *quals = NIL;
	ListCell *cell;

	foreach(cell, query->withCheckOptions)
	{
		const WithCheckOption *check = lfirst_node(WithCheckOption, cell);

		if (check->kind == WCO_RLS_CONFLICT_CHECK)
			quals = lappend(quals, copyObject(check->qual));
	}
	return quals;
}

void
upsert_guard_where(Query *query)
{
	List *quals;
	ListCell *cell;

	if (query->onConflict != NULL && query->onConflict->onConflictWhere != NULL &&
		(quals = conflict_checks(query)) != NIL)
	{
		CaseWhen *when = makeNode(CaseWhen);
		CaseExpr *guarded = makeNode(CaseExpr);

		when->expr = make_ands_explicit(quals);
		when->result = (Expr *) query->onConflict->onConflictWhere;
		when->location = -1;
		guarded->casetype = BOOLOID;
		guarded->args = list_make1(when);
		guarded->defresult = (Expr *) makeBoolConst(true, false);
		guarded->location = -1;
		query->onConflict->onConflictWhere = (Node *) guarded;
	}
	/* data-modifying WITH stands at the top only */
	foreach(cell, query->cteList)
	{
		Query *with = castNode(Query, lfirst_node(CommonTableExpr, cell)->ctequery);

		if (with->commandType != CMD_SELECT)
			upsert_guard_where(with);
	}
}
