/*
 * src/policy/regular.c
 *		Finding a table's index of irregular rows, and asking whether it is empty.
 *
 * smart.protect() makes a partial index of the rows for which smart_internal.row_is_regular() is false:
 * no resource, of another type than the table's, a key in another form than the others. An index
 * is maintained whatever else is switched off, so while it is empty, every row that any snapshot
 * can see is regular. (Rows that an older snapshot alone
 * can see are in the index as well: PostgreSQL keeps a new index from such a snapshot where they
 * are not.) While there is an irregular row, decisions are made row by row: slower, never different.
 * When it has gone, its entry is told to be dead once no snapshot can see it (src/policy/emptiness.c).
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
#include "access/xlog.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_inherits.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "storage/lmgr.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "policy/call.h"
#include "policy/emptiness.h"
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

/*
 * The call of row_is_regular() that the predicate of an index negates, in the memory of the moment; NULL
 * for another index.
 */
static FuncExpr *
irregular_predicate(Relation index, Oid namespace)
{
	List *predicate = RelationGetIndexPredicate(index);
	BoolExpr *negation;
	FuncExpr *regular;

	if (list_length(predicate) != 1)
		return NULL;
	negation = linitial(predicate);
	if (!IsA(negation, BoolExpr) || negation->boolop != NOT_EXPR)
		return NULL;
	regular = linitial(negation->args);
	if (!IsA(regular, FuncExpr) || list_length(regular->args) != REGULAR_N_ARGS ||
		get_func_namespace(regular->funcid) != namespace ||
		strcmp(get_func_name(regular->funcid), "row_is_regular") != 0)
		return NULL;
	return regular;
}

/* Is it about the same row as the policy's call? */
static bool
is_about_same_row(const FuncExpr *regular, const FuncExpr *call, bool stored)
{
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

/* The index of irregular rows of a relation that is open, and its predicate; or InvalidOid. */
static Oid
find_index(Relation rel, FuncExpr *call, int varno, bool stored, FuncExpr **predicate)
{
	Oid namespace = get_func_namespace(call->funcid);
	List *list = RelationGetIndexList(rel);
	Oid found = InvalidOid;
	ListCell *cell;

	foreach(cell, list)
	{
		Relation index = try_relation_open(lfirst_oid(cell), AccessShareLock);

		if (index == NULL)
			continue;
		*predicate = index->rd_index->indisvalid ? irregular_predicate(index, namespace) : NULL;
		if (*predicate != NULL)
		{
			ChangeVarNodes((Node *) *predicate, 1, varno, 0);
			if (is_about_same_row(*predicate, call, stored))
				found = lfirst_oid(cell);
		}
		relation_close(index, NoLock);
		if (OidIsValid(found))
			break;
	}
	list_free(list);
	return found;
}

/* ---- which index was found for which table, until either changes ---- */

typedef struct KnownIndex
{
	Oid table; /* key */
	Oid index;
	bool valid;
	MemoryContext context;
	FuncExpr *predicate;
	int varno; /* of the variables in it */
} KnownIndex;

#define MAX_KNOWN_INDEXES 1024
static HTAB *known_indexes = NULL;

/* An index is one of its table; all that changes it is told of it, or of the table. */
static void
known_index_changed(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	KnownIndex *known;

	hash_seq_init(&scan, known_indexes);
	while ((known = hash_seq_search(&scan)) != NULL)
		if (!OidIsValid(relid) || known->table == relid || known->index == relid)
			known->valid = false;
}

static void
forget_index(KnownIndex *known)
{
	MemoryContextDelete(known->context);
	(void) hash_search(known_indexes, &known->table, HASH_REMOVE, NULL);
}

/* Whole before it is entered. */
static void
remember_index(Oid table, Oid index, FuncExpr *predicate, int varno)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "smart_fhir index", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	FuncExpr *copy = copyObject(predicate);
	KnownIndex *known;
	bool found;

	MemoryContextSwitchTo(old);
	if (hash_get_num_entries(known_indexes) >= MAX_KNOWN_INDEXES)
	{
		HASH_SEQ_STATUS scan;

		hash_seq_init(&scan, known_indexes);
		while ((known = hash_seq_search(&scan)) != NULL)
			forget_index(known);
	}
	known = hash_search(known_indexes, &table, HASH_ENTER, &found);
	if (found)
		MemoryContextDelete(known->context);
	known->index = index;
	known->valid = true;
	known->context = context;
	known->predicate = copy;
	known->varno = varno;
	MemoryContextSetParent(context, TopMemoryContext);
}

static Oid
known_index(Oid table, const FuncExpr *call, int varno, bool stored)
{
	KnownIndex *known;

	if (known_indexes == NULL)
	{
		HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(KnownIndex)};

		known_indexes =
			hash_create("smart_fhir known indexes", 64, &control, HASH_ELEM | HASH_BLOBS);
		CacheRegisterRelcacheCallback(known_index_changed, (Datum) 0);
	}
	known = hash_search(known_indexes, &table, HASH_FIND, NULL);
	if (known == NULL)
		return InvalidOid;
	if (known->valid)
	{
		if (known->varno != varno)
			ChangeVarNodes((Node *) known->predicate, known->varno, varno, 0);
		known->varno = varno;
		if (is_about_same_row(known->predicate, call, stored))
			return known->index;
	}
	forget_index(known);
	return InvalidOid;
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

/* Are the rows of all partitions regular? */
static bool
partitions_are_regular(Oid table, Oid index)
{
	List *leaves = NIL;
	ListCell *cell;

	if (!leaf_indexes(table, index, &leaves))
		return false;
	foreach(cell, leaves)
		if (!policy_regular_index_is_empty(lfirst_oid(cell), NULL))
			return false;
	return true;
}

/*
 * The index of irregular rows of a relation that planning has locked, as far as it may be trusted;
 * InvalidOid when some row that a query of the relation reads is in no such index.
 */
static Oid
trusted_index(Oid table, FuncExpr *call, int varno, bool stored)
{
	Oid index;
	Relation rel;
	FuncExpr *predicate = NULL;

	/*
	 * A standby learns of REINDEX, not of which old snapshots of its own may still see the rows
	 * that the new index leaves out.
	 */
	if (RecoveryInProgress())
		return InvalidOid;
	index = known_index(table, call, varno, stored);
	if (OidIsValid(index))
		return index;
	rel = try_relation_open(table, AccessShareLock);
	if (rel == NULL)
		return InvalidOid;
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ||
		(rel->rd_rel->relkind == RELKIND_RELATION && !has_subclass(table)))
		index = find_index(rel, call, varno, stored, &predicate);
	relation_close(rel, AccessShareLock);
	if (OidIsValid(index))
		remember_index(table, index, predicate, varno);
	return index;
}

/* Partitioned tables of which a plan found irregular rows too late: the latest ones. */
#define N_FORGOTTEN 32
static Oid forgotten[N_FORGOTTEN];
static int n_forgotten = 0;
static int next_forgotten = 0;

void
regular_forget_table(Oid table)
{
	if (regular_any_forgotten(list_make1_oid(table)))
		return;
	forgotten[next_forgotten] = table;
	next_forgotten = (next_forgotten + 1) % N_FORGOTTEN;
	n_forgotten = Max(n_forgotten, next_forgotten == 0 ? N_FORGOTTEN : next_forgotten);
}

static void
remember_table(Oid table)
{
	for (int i = 0; i < n_forgotten; i++)
		if (forgotten[i] == table)
			forgotten[i] = InvalidOid;
}

bool
regular_any_forgotten(const List *tables)
{
	for (int i = 0; i < n_forgotten; i++)
		if (OidIsValid(forgotten[i]) && list_member_oid(tables, forgotten[i]))
			return true;
	return false;
}

bool
regular_rows(PlannerInfo *root, FuncExpr *call, bool stored, Oid *table, Oid *index)
{
	int varno = relation_of(root, call);
	RangeTblEntry *entry;

	*index = InvalidOid;
	if (varno <= 0 || root->parse == NULL || varno > list_length(root->parse->rtable))
		return false;
	entry = rt_fetch(varno, root->parse->rtable);
	if (entry->rtekind != RTE_RELATION)
		return false;
	*table = entry->relid;
	*index = trusted_index(*table, call, varno, stored);
	if (!OidIsValid(*index))
		return false;
	if (entry->relkind != RELKIND_PARTITIONED_TABLE)
		return policy_regular_index_is_empty(*index, NULL);
	/* the plan's own partitions are asked when it is made: most go before that */
	if (!regular_any_forgotten(list_make1_oid(*table)))
		return true;
	if (!partitions_are_regular(*table, *index))
		return false;
	remember_table(*table);
	return true;
}

/* Which index of a partition is below which one of its table, until either changes. */
typedef struct PartitionIndex
{
	Oid partition; /* key */
	Oid table_index;
	Oid index;
} PartitionIndex;

#define MAX_PARTITION_INDEXES 4096
static HTAB *partition_indexes = NULL;

static void
forget_partition(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	PartitionIndex *entry;

	if (partition_indexes == NULL)
		return;
	if (OidIsValid(relid))
	{
		(void) hash_search(partition_indexes, &relid, HASH_REMOVE, NULL);
		return;
	}
	hash_seq_init(&scan, partition_indexes);
	while ((entry = hash_seq_search(&scan)) != NULL)
		(void) hash_search(partition_indexes, &entry->partition, HASH_REMOVE, NULL);
}

static Oid
look_up_partition(Oid partition, Oid table_index)
{
	Relation rel = try_relation_open(partition, AccessShareLock);
	Oid found = InvalidOid;
	List *list;
	ListCell *cell;

	if (rel == NULL)
		return InvalidOid;
	list = RelationGetIndexList(rel);
	foreach(cell, list)
		if (get_rel_relispartition(lfirst_oid(cell)) &&
			list_member_oid(get_partition_ancestors(lfirst_oid(cell)), table_index))
			found = lfirst_oid(cell);
	list_free(list);
	relation_close(rel, NoLock);
	return found;
}

Oid
regular_index_of_partition(Oid partition, Oid table_index)
{
	PartitionIndex *entry;
	Oid index;

	if (partition_indexes == NULL)
	{
		HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(PartitionIndex)};

		partition_indexes =
			hash_create("smart_fhir partitions", 64, &control, HASH_ELEM | HASH_BLOBS);
		CacheRegisterRelcacheCallback(forget_partition, (Datum) 0);
	}
	entry = hash_search(partition_indexes, &partition, HASH_FIND, NULL);
	if (entry != NULL && entry->table_index == table_index)
		return entry->index;
	index = look_up_partition(partition, table_index);
	if (hash_get_num_entries(partition_indexes) >= MAX_PARTITION_INDEXES)
		forget_partition((Datum) 0, InvalidOid);
	entry = hash_search(partition_indexes, &partition, HASH_ENTER, NULL);
	entry->table_index = table_index;
	entry->index = index;
	return index;
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

/*
 * Entries go when the primary's snapshots do not see their rows any more. One that was taken in recovery may
 * outlive a promotion.
 */
static bool
is_of_recovery(Snapshot snapshot)
{
	if (snapshot == NULL && ActiveSnapshotSet())
		snapshot = GetActiveSnapshot();
	return snapshot != NULL && snapshot->takenDuringRecovery;
}

bool
policy_regular_index_is_empty(Oid oid, Snapshot snapshot)
{
	bool settled = is_settled(snapshot);
	Relation index;
	bool empty;

	if (!OidIsValid(oid) || RecoveryInProgress() || is_of_recovery(snapshot))
		return false;
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
	empty = index->rd_rel->relkind == RELKIND_INDEX && is_usable(index) && index_is_empty(index);
	RelationClose(index);
	if (empty && settled)
	{
		known_empty[oid % N_KNOWN_EMPTY].index = oid;
		known_empty[oid % N_KNOWN_EMPTY].xmax = snapshot->xmax;
	}
	return empty;
}
