/*
 * src/policy/follow_state.c
 *		What a statement has read of the tables that follow and are followed. See follow_state.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "compat.h"
#include "policy/follow_state.h"

typedef struct KnownTable
{
	Oid relid;
	StoredTable *table; /* NULL: it has no policies of ours */
} KnownTable;

typedef struct KnownLeaves
{
	Oid relid;
	List *leaves;
} KnownLeaves;

Following *
following_begin(MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Following *state = palloc0(sizeof(Following));
	HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(KnownTable), .hcxt = context};

	state->context = context;
	state->row_context =
		AllocSetContextCreate(context, "smart_fhir follow row", ALLOCSET_SMALL_SIZES);
	state->search_context =
		AllocSetContextCreate(context, "smart_fhir follower search", ALLOCSET_SMALL_SIZES);
	state->work_context =
		AllocSetContextCreate(context, "smart_fhir follower row", ALLOCSET_SMALL_SIZES);
	state->tables = hash_create(
		"smart_fhir follow tables", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	control.entrysize = sizeof(KnownLeaves);
	state->leaves = hash_create(
		"smart_fhir follow leaves", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	MemoryContextSwitchTo(old);
	return state;
}

StoredTable *
following_table(Following *state, Relation rel)
{
	Oid relid = RelationGetRelid(rel);
	KnownTable *known = hash_search(state->tables, &relid, HASH_FIND, NULL);

	if (known == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(state->context);
		StoredTable *table = stored_table(rel);

		known = hash_search(state->tables, &relid, HASH_ENTER, NULL);
		known->table = table;
		MemoryContextSwitchTo(old);
	}
	return known->table;
}

List *
following_leaves(Following *state, Oid relid)
{
	KnownLeaves *known = hash_search(state->leaves, &relid, HASH_FIND, NULL);

	if (known == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(state->context);
		List *leaves = follow_leaves(relid);

		known = hash_search(state->leaves, &relid, HASH_ENTER, NULL);
		known->leaves = leaves;
		MemoryContextSwitchTo(old);
	}
	return known->leaves;
}
void
following_links(Following *state, Oid follower)
{
	MemoryContext old;

	if (state->follower == follower)
		return;
	old = MemoryContextSwitchTo(state->context);
	if (state->links != NULL)
		pfree(state->links);
	state->links = follow_links(follower, &state->n_links);
	state->follower = follower;
	MemoryContextSwitchTo(old);
}

bool
following_belongs_to(Oid relid, Oid owner)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool owned = HeapTupleIsValid(tuple) && ((Form_pg_class) GETSTRUCT(tuple))->relowner == owner;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return owned;
}

Relation
following_open(Oid relid, Oid owner, LOCKMODE mode)
{
	return following_belongs_to(relid, owner) ? try_relation_open(relid, mode) : NULL;
}
