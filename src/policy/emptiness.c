/*
 * src/policy/emptiness.c
 *		Is an index empty of all that any snapshot may see? See emptiness.h.
 *
 * A btree of its metapage alone is. So is one whose only leaf has no entry but such as are marked dead: entries go,
 * and are marked, when their rows are dead to every transaction. Otherwise the rows are looked at, as
 * the planner does for the ends of an index; that marks the dead ones.
 *
 * Evaluates nothing, compares nothing. Knows nothing of policies.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/table.h"
#include "access/tableam.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "storage/smgr.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "policy/emptiness.h"

/* How many entries are looked up before the index is taken for filled. */
#define MAX_LOOKED_UP 64

/* The lowest page that is alone on its level: the root, or below it what deletions have left. */
static BlockNumber
fast_root(Relation index)
{
	Buffer buffer = ReadBuffer(index, BTREE_METAPAGE);
	BlockNumber root;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	root = BTPageGetMeta(BufferGetPage(buffer))->btm_fastroot;
	UnlockReleaseBuffer(buffer);
	return root;
}

/* Is the page the only leaf, without an entry that is not marked dead? */
static bool
is_bare_leaf(Relation index, BlockNumber block)
{
	Buffer buffer = ReadBuffer(index, block);
	Page page = BufferGetPage(buffer);
	BTPageOpaque opaque;
	bool bare;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	opaque = (BTPageOpaque) PageGetSpecialPointer(page);
	bare = P_ISLEAF(opaque) && P_LEFTMOST(opaque) && P_RIGHTMOST(opaque) && !P_IGNORE(opaque);
	for (OffsetNumber i = P_HIKEY; bare && i <= PageGetMaxOffsetNumber(page); i++)
		bare = ItemIdIsDead(PageGetItemId(page, i));
	UnlockReleaseBuffer(buffer);
	return bare;
}

/* Are the rows of all entries dead to everybody? */
static bool
rows_are_dead(Relation index)
{
	Relation rel = table_open(index->rd_index->indrelid, NoLock);
	SnapshotData not_vacuumable;
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	IndexScanDesc scan;
	bool dead = true;
	ItemPointer tid;

	InitNonVacuumableSnapshot(not_vacuumable, GlobalVisTestFor(rel));
	scan = compat_index_beginscan(rel, index, &not_vacuumable, 0, 0);
	index_rescan(scan, NULL, 0, NULL, 0);
	for (int i = 0; dead && (tid = index_getnext_tid(scan, ForwardScanDirection)) != NULL; i++)
		dead = i < MAX_LOOKED_UP && !index_fetch_heap(scan, slot);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	return dead;
}

bool
index_is_empty(Relation index)
{
	BlockNumber root;

	if (smgrnblocks(RelationGetSmgr(index), MAIN_FORKNUM) == 1)
		return true;
	root = fast_root(index);
	if (root != P_NONE && is_bare_leaf(index, root))
		return true;
	if (!rows_are_dead(index))
		return false;
	CacheInvalidateRelcacheByRelid(index->rd_index->indrelid);
	return true;
}
