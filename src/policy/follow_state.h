/*
 * src/policy/follow_state.h
 *		What a statement has read of the tables that follow and are followed.
 */
#ifndef SMART_FHIR_POLICY_FOLLOW_STATE_H
#define SMART_FHIR_POLICY_FOLLOW_STATE_H

#include "storage/lockdefs.h"
#include "utils/hsearch.h"
#include "utils/rel.h"

#include "compat.h"
#include "policy/follow_links.h"
#include "policy/stored_table.h"

/* Lives as long as a statement's calls of one trigger, or as one call of refresh_followed(). */
typedef struct Following
{
	MemoryContext context;
	MemoryContext row_context;	  /* of one row that a trigger is called for */
	MemoryContext search_context; /* of one search for rows that name it */
	MemoryContext work_context;	  /* of one of those */
	HTAB *tables;				  /* how they are read */
	HTAB *leaves;				  /* of partitioned ones */
	Oid follower;				  /* whose links follow */
	FollowedTable *links;
	int n_links;
	const char *at; /* name of the table whose rows are looked at */
} Following;

extern Following *following_begin(MemoryContext context);

/* How a table's rows are read; NULL: it has no policies of ours. */
extern StoredTable *following_table(Following *state, Relation rel);
/* The table, or its leaf partitions: OIDs. */
extern List *following_leaves(Following *state, Oid relid);
/* The tables that one follows: state->links. */
extern void following_links(Following *state, Oid follower);

/* A table, if it belongs to this role, else NULL. */
extern Relation following_open(Oid relid, Oid owner, LOCKMODE mode);

/* stored_row_set_patient(), and if it fails that was the table. */
extern void following_set_patient(Following *state, StoredTable *table, Relation rel,
								  const char *patient);

/*
 * In PG_CATCH(), in a context that outlives the error: an error that rows of others may have
 * raised, an owner's function, an index or a constraint. Its words may hold what such a row says:
 * they go to the server log, to the client only which table it was. Faults of the moment
 * (cancelled, to be tried again, out of resources) pass as they are.
 */
extern void following_hide_error(Following *state) pg_attribute_noreturn();

#endif /* SMART_FHIR_POLICY_FOLLOW_STATE_H */
