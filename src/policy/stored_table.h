/*
 * src/policy/stored_table.h
 *		How the rows of a protected table are read where they lie: its policies' expressions, and its indexes.
 */
#ifndef SMART_FHIR_POLICY_STORED_TABLE_H
#define SMART_FHIR_POLICY_STORED_TABLE_H

#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"

#include "access/access.h"
#include "compat.h"
#include "policy/call.h"

#define FOLLOWED_COLUMN "smart_patient"

/* How rows of one table (no partitioned one) are read: by its policies, and by which indexes. */
typedef struct StoredTable
{
	Oid relid;
	char *name;
	Oid owner;
	AccessTable table;
	Oid keys_type;
	char *path;		   /* of what its rows name; NULL: it does not follow */
	AttrNumber column; /* of the patient of what they name */
	ExprState *args[POLICY_N_ARGS];
	ExprContext *econtext;
	TupleTableSlot *slot;
	/* an index that starts with the id, or InvalidOid */
	Oid id_index;
	Oid id_type; /* text, uuid, int2, int4 or int8 */
	StrategyNumber id_strategy;
	Oid id_equal;
	Oid id_collation;
	/* the GIN index of what rows name, or InvalidOid */
	Oid named_index;
} StoredTable;

/* In CurrentMemoryContext. NULL: no policies of ours, or for others' generated tables. */
extern StoredTable *stored_table(Relation rel);

#endif /* SMART_FHIR_POLICY_STORED_TABLE_H */
