/*
 * src/policy/follow_state.c
 *		What a statement has read of the tables that follow and are followed. See follow_state.h.
 */
#include "postgres.h"

#include "access/relation.h"
#include "utils/memutils.h"

#include "compat.h"
#include "policy/follow_state.h"
#include "policy/owner.h"
#include "policy/stored_rows.h"

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
		StoredTable *table;

		state->at = pstrdup(RelationGetRelationName(rel));
		table = stored_table(rel);
		known = hash_search(state->tables, &relid, HASH_ENTER, NULL);
		known->table = table;
		MemoryContextSwitchTo(old);
	}
	if (known->table != NULL)
		state->at = known->table->name;
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

Relation
following_open(Oid relid, Oid owner, LOCKMODE mode)
{
	Relation rel = owner_owns(owner, relid) ? try_relation_open(relid, mode) : NULL;

	/* it may have been given away while we waited */
	if (rel != NULL && rel->rd_rel->relowner != owner)
	{
		relation_close(rel, mode);
		rel = NULL;
	}
	return rel;
}

void
following_set_patient(Following *state, StoredTable *table, Relation rel, const char *patient)
{
	state->at = table->name;
	stored_row_set_patient(table, rel, patient);
}

static bool
is_passing(const ErrorData *fault)
{
	int category = ERRCODE_TO_CATEGORY(fault->sqlerrcode);

	return category == ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK) ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_QUERY_CANCELED) ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		   fault->sqlerrcode == ERRCODE_STATEMENT_TOO_COMPLEX ||
		   fault->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		   (fault->schema_name != NULL && strcmp(fault->schema_name, "smart") == 0);
}

void
following_hide_error(Following *state)
{
	ErrorData *fault = CopyErrorData();
	/* no look into the catalogs: locks may still be held */
	const char *table = state->at;

	if (is_passing(fault))
		PG_RE_THROW();
	FlushErrorState();
	/* no DETAIL: that is where constraints print the row */
	ereport(LOG_SERVER_ONLY,
			errcode(fault->sqlerrcode),
			errmsg("a row of table \"%s\" could not be looked at or changed for follow: %s",
				   table,
				   fault->message),
			fault->context != NULL ? errcontext("%s", fault->context) : 0,
			errhidestmt(true));
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("a row of table \"%s\" could not be looked at or changed for follow", table),
			errdetail("An expression of the table's policies, an index, a generated column or a "
					  "constraint raised an error."),
			errhint("The server log has its error."),
			errhidestmt(true),
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "follow"));
}
