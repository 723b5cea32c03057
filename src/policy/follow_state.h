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
} Following;

extern Following *following_begin(MemoryContext context);

/* How a table's rows are read; NULL: it has no policies of ours. */
extern StoredTable *following_table(Following *state, Relation rel);
/* The table, or its leaf partitions: OIDs. */
extern List *following_leaves(Following *state, Oid relid);
/* The tables that one follows: state->links. */
extern void following_links(Following *state, Oid follower);

/* Asked before a table is locked, so that nobody else's lock is waited for. */
extern bool following_belongs_to(Oid relid, Oid owner);
/* A table, if it belongs to this role, else NULL. */
extern Relation following_open(Oid relid, Oid owner, LOCKMODE mode);

#endif /* SMART_FHIR_POLICY_FOLLOW_STATE_H */
