/*
 * src/policy/follow_move.c
 *		Rows that name a record which became another patient's. See follow_move.h.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"

#include "compat.h"
#include "policy/follow_find.h"
#include "policy/follow_move.h"
#include "policy/named.h"
#include "policy/owner.h"

typedef struct NamedEntry
{
	List *followers; /* OIDs of tables */
	char *reference;
} NamedEntry;

List *
follow_queue(List *queue, List *followers, const char *reference)
{
	NamedEntry *entry = palloc(sizeof(NamedEntry));

	entry->followers = followers;
	entry->reference = pstrdup(reference);
	return lappend(queue, entry);
}

char *
follow_reference(const StoredRow *row)
{
	if (!row->valid || row->resource.id.data == NULL)
		return NULL;
	return psprintf("%.*s/%.*s",
					row->resource.type_name.len,
					row->resource.type_name.data,
					row->resource.id.len,
					row->resource.id.data);
}

bool
follow_same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/*
 * The row that was just given a patient, in table->slot: is it his, now that others see it? If
 * what it names was moved meanwhile, it becomes nobody's.
 */
static bool
is_still_of(Following *state, StoredTable *table, Relation rel, const char *patient)
{
	ItemPointerData tid = table->slot->tts_tid;
	NamedRecord *named;
	StoredRow row;
	int n;

	stored_row_read(table, &row);
	n = stored_row_named(table, &row, &named);
	if (follow_same_text(follow_find_patient(state, table, named, n), patient))
		return true;
	if (stored_row_lock(table, rel, &tid) == TM_Ok)
		following_set_patient(state, table, rel, NULL);
	return false;
}

bool
follow_act_on_row(Following *state, StoredTable *table, Relation rel, FollowAction action,
				  List **queue)
{
	ItemPointerData tid = table->slot->tts_tid;
	NamedRecord *named;
	StoredRow row;
	char *reference;
	const char *old_patient;
	const char *patient;
	int n;

	stored_row_read(table, &row);
	reference = follow_reference(&row);
	old_patient = stored_row_patient(table);
	n = stored_row_named(table, &row, &named);
	patient = follow_find_patient(state, table, named, n);
	/* one that is written by the same statement may know better already */
	if (follow_same_text(patient, old_patient))
		return false;
	if (action == FOLLOW_RELEASE)
		patient = NULL;
	/* a table may follow itself: fetch the row again */
	if (stored_row_lock(table, rel, &tid) != TM_Ok)
		return false;
	following_set_patient(state, table, rel, patient);
	if (patient != NULL && !is_still_of(state, table, rel, patient))
		return false;
	if (reference != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(state->context);
		List *followers = follow_followers(rel);

		if (followers != NIL)
			*queue = follow_queue(*queue, followers, reference);
		MemoryContextSwitchTo(old);
	}
	return true;
}

/* The rows of one table (no partitioned one) that name a record. */
static int64
act_on_table(Following *state, Relation rel, const char *reference, FollowAction action,
			 List **queue)
{
	StoredTable *table = following_table(state, rel);
	MemoryContext caller = CurrentMemoryContext;
	ItemPointerData *tids;
	int64 changed = 0;
	bool again;

	if (table == NULL || table->path == NULL)
		return 0;
	do
	{
		int n;

		again = false;
		tids = stored_rows_naming(table, rel, reference, &n);
		for (int i = 0; i < n; i++)
		{
			TransactionId inserter;
			StoredRow row;
			NamedRecord *named;
			bool names = false;
			int n_named;

			CHECK_FOR_INTERRUPTS();
			MemoryContextReset(state->work_context);
			MemoryContextSwitchTo(state->work_context);
			if (!stored_row_fetch(table, rel, &tids[i], &inserter))
				continue;
			stored_row_read(table, &row);
			if ((stored_row_patient(table) == NULL) != (action == FOLLOW_FIND))
				continue;
			n_named = stored_row_named(table, &row, &named);
			for (int j = 0; j < n_named && !names; j++)
				names =
					named[j].local &&
					strlen(reference) ==
						(size_t) named[j].type.len + 1 + (size_t) named[j].id.len &&
					memcmp(reference, named[j].type.data, named[j].type.len) == 0 &&
					memcmp(reference + named[j].type.len + 1, named[j].id.data, named[j].id.len) ==
						0;
			if (!names)
				continue;
			if (TransactionIdIsValid(inserter))
			{
				/* whoever writes it may have looked before; a refresh leaves it to him */
				if (action == FOLLOW_FIND)
					continue;
				ExecClearTuple(table->slot);
				XactLockTableWait(inserter, rel, &tids[i], XLTW_Update);
				again = true;
			}
			else
			{
				TM_Result result = stored_row_lock(table, rel, &tids[i]);

				if (result == TM_Ok)
					changed += follow_act_on_row(state, table, rel, action, queue);
				else
					again |= result == TM_Updated || result == TM_Deleted;
			}
		}
		MemoryContextSwitchTo(caller);
		pfree(tids);
	} while (again);
	ExecClearTuple(table->slot);
	return changed;
}

int64
follow_act_on_queue(Following *state, Oid owner, List *queue, FollowAction action)
{
	int64 changed = 0;

	while (queue != NIL)
	{
		NamedEntry *entry = linitial(queue);
		ListCell *cell;

		queue = list_delete_first(queue);
		foreach(cell, entry->followers)
		{
			ListCell *leaf;

			if (!owner_owns(owner, lfirst_oid(cell)))
				continue;
			foreach(leaf, following_leaves(state, lfirst_oid(cell)))
			{
				Relation rel = following_open(lfirst_oid(leaf), owner, RowExclusiveLock);
				MemoryContext old;

				if (rel == NULL)
					continue;
				old = MemoryContextSwitchTo(state->search_context);
				changed += act_on_table(state, rel, entry->reference, action, &queue);
				MemoryContextSwitchTo(old);
				MemoryContextReset(state->search_context);
				relation_close(rel, NoLock);
			}
		}
		list_free(entry->followers);
		pfree(entry->reference);
		pfree(entry);
	}
	return changed;
}
