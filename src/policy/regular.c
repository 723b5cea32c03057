/*
 * src/policy/regular.c
 *		Finding a table's index of irregular rows, and asking whether it is empty.
 *
 * smart.protect() makes a partial index of the rows for which smart_internal.row_is_regular() is false:
 * no resource, of another type than the table's, a key in another form than the others. An index
 * is maintained whatever else is switched off, so while it is a btree of nothing but its
 * metapage, every row that any snapshot can see is regular. (Rows that an older snapshot alone
 * can see are in the index as well: PostgreSQL keeps a new index from such a snapshot where they
 * are not.) After an irregular row the index stays non-empty until REINDEX, and decisions are
 * made row by row: slower, never different.
 *
 * Knows nothing of sessions.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_inherits.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "policy/call.h"
#include "policy/options.h"
#include "policy/regular.h"


/* Arguments of smart_internal.row_is_regular(): those of smart_internal.row_policy() without the command. */
#define REGULAR_N_ARGS (POLICY_N_ARGS - 1)

/* The only relation whose columns the call reads, or 0. */
static int
relation_of(PlannerInfo *root, FuncExpr *call)
{
	int varno = 0;

	if (!bms_get_singleton_member(pull_varnos(root, (Node *) call), &varno))
		return 0;
	return varno;
}

/* Is the predicate of an index about the same row as the policy's call? */
static bool
is_irregular_index(Relation index, FuncExpr *call, int varno, bool stored)
{
	List *predicate = RelationGetIndexPredicate(index);
	BoolExpr *negation;
	FuncExpr *regular;

	if (list_length(predicate) != 1)
		return false;
	negation = linitial(predicate);
	if (!IsA(negation, BoolExpr) || negation->boolop != NOT_EXPR)
		return false;
	regular = linitial(negation->args);
	if (!IsA(regular, FuncExpr) || list_length(regular->args) != REGULAR_N_ARGS ||
		get_func_namespace(regular->funcid) != get_func_namespace(call->funcid) ||
		strcmp(get_func_name(regular->funcid), "row_is_regular") != 0)
		return false;
	regular = copyObject(regular);
	ChangeVarNodes((Node *) regular, 1, varno, 0);
	for (int i = stored ? 0 : 1; i < REGULAR_N_ARGS; i++)
		if (!equal(list_nth(regular->args, i), list_nth(call->args, i + 1)))
			return false;
	return true;
}

static bool
is_usable(Relation index)
{
	Form_pg_index form = index->rd_index;

	if (!form->indisvalid || !form->indisready || !form->indislive)
		return false;
	if (form->indcheckxmin &&
		!TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data),
							   TransactionXmin))
		return false;
	return index->rd_rel->relam == BTREE_AM_OID;
}

/* The index of irregular rows of a relation that is open, or InvalidOid. */
static Oid
find_index(Relation rel, FuncExpr *call, int varno, bool stored)
{
	List *list = RelationGetIndexList(rel);
	Oid found = InvalidOid;
	ListCell *cell;

	foreach(cell, list)
	{
		Relation index = try_relation_open(lfirst_oid(cell), AccessShareLock);

		if (index == NULL)
			continue;
		if (index->rd_index->indisvalid && is_irregular_index(index, call, varno, stored))
			found = lfirst_oid(cell);
		relation_close(index, NoLock);
		if (OidIsValid(found))
			break;
	}
	list_free(list);
	return found;
}

/*
 * The indexes with storage below that of a partitioned table; false when a partition is a
 * foreign table, which has none.
 */
static bool
leaf_indexes(Oid table, Oid index, List **leaves)
{
	List *all = find_all_inheritors(table, NoLock, NULL);
	ListCell *cell;

	foreach(cell, all)
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_FOREIGN_TABLE)
			return false;
	all = find_all_inheritors(index, AccessShareLock, NULL);
	foreach(cell, all)
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_INDEX)
			*leaves = lappend_oid(*leaves, lfirst_oid(cell));
	return true;
}

/*
 * The index of a relation, and those of its partitions when it is partitioned; false when some
 * row that a query of the relation reads is in none of them.
 */
static bool
find_indexes(Relation rel, FuncExpr *call, int varno, bool stored, List **indexes)
{
	Oid relid = RelationGetRelid(rel);
	Oid index;

	*indexes = NIL;
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		index = find_index(rel, call, varno, stored);
		return OidIsValid(index) && leaf_indexes(relid, index, indexes);
	}
	if (rel->rd_rel->relkind != RELKIND_RELATION || has_subclass(relid))
		return false;
	index = find_index(rel, call, varno, stored);
	if (OidIsValid(index))
		*indexes = list_make1_oid(index);
	return OidIsValid(index);
}

static bool
all_empty(List *indexes)
{
	ListCell *cell;

	foreach(cell, indexes)
		if (!policy_regular_index_is_empty(lfirst_oid(cell), NULL))
			return false;
	return true;
}

bool
policy_rows_are_regular(PlannerInfo *root, FuncExpr *call, bool stored, List **indexes)
{
	int varno = relation_of(root, call);
	RangeTblEntry *entry;
	Relation rel;
	bool found;

	*indexes = NIL;
	if (varno <= 0 || root->parse == NULL || varno > list_length(root->parse->rtable))
		return false;
	entry = rt_fetch(varno, root->parse->rtable);
	if (entry->rtekind != RTE_RELATION)
		return false;
	rel = try_relation_open(entry->relid, AccessShareLock);
	if (rel == NULL)
		return false;
	found = find_indexes(rel, call, varno, stored, indexes);
	relation_close(rel, AccessShareLock);
	return found && all_empty(*indexes);
}

/* Indexes that were empty when nobody could still put a row in that a snapshot with this xmax sees. */
#define N_KNOWN_EMPTY 64
static struct
{
	Oid index;
	TransactionId xmax;
} known_empty[N_KNOWN_EMPTY];

/*
 * Can no transaction but finished ones have written what a snapshot sees? Then an index that is
 * empty now is empty for every snapshot with the same xmax and none running.
 */
static bool
is_settled(Snapshot snapshot)
{
	return snapshot != NULL && IsMVCCSnapshot(snapshot) && snapshot->xcnt == 0 &&
		   !snapshot->suboverflowed && !snapshot->takenDuringRecovery &&
		   !TransactionIdIsValid(GetTopTransactionIdIfAny());
}

bool
policy_regular_index_is_empty(Oid oid, Snapshot snapshot)
{
	bool settled = is_settled(snapshot);
	Relation index;
	bool empty;

	if (settled && known_empty[oid % N_KNOWN_EMPTY].index == oid &&
		TransactionIdEquals(known_empty[oid % N_KNOWN_EMPTY].xmax, snapshot->xmax))
		return true;
	/* as try_relation_open() does, without a look into pg_class: this runs once a statement */
	LockRelationOid(oid, AccessShareLock);
	index = RelationIdGetRelation(oid);
	if (!RelationIsValid(index))
	{
		UnlockRelationOid(oid, AccessShareLock);
		return false;
	}
	empty = index->rd_rel->relkind == RELKIND_INDEX && is_usable(index) &&
			smgrnblocks(RelationGetSmgr(index), MAIN_FORKNUM) == 1;
	RelationClose(index);
	if (empty && settled)
	{
		known_empty[oid % N_KNOWN_EMPTY].index = oid;
		known_empty[oid % N_KNOWN_EMPTY].xmax = snapshot->xmax;
	}
	return empty;
}
