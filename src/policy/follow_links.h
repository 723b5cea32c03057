/*
 * src/policy/follow_links.h
 *		Which tables follow which, as triggers bind them: by OID.
 */
#ifndef SMART_FHIR_POLICY_FOLLOW_LINKS_H
#define SMART_FHIR_POLICY_FOLLOW_LINKS_H

#include "utils/rel.h"

#include "compat.h"

/* A table whose records another table's may name. */
typedef struct FollowedTable
{
	Oid relid;
	char type[64]; /* of its rows; "*": of many */
} FollowedTable;

/* What a table, or a partition of one, follows; a palloc'd copy. */
extern FollowedTable *follow_links(Oid follower, int *n);
/* The tables that follow one, or a partition of one: OIDs, by its triggers. */
extern List *follow_followers(Relation followed);
/* The topmost table that a partition belongs to, or the table itself. */
extern Oid follow_root(Oid relid);
/* The table, or its leaf partitions that can hold rows: OIDs, without a lock on any: whose they are is asked first. */
extern List *follow_leaves(Oid relid);

extern void follow_links_init(void);

#endif /* SMART_FHIR_POLICY_FOLLOW_LINKS_H */
