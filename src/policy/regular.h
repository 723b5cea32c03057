/*
 * src/policy/regular.h
 *		The index of a table's irregular rows: on which rows a folded policy may rely.
 */
#ifndef SMART_FHIR_POLICY_REGULAR_H
#define SMART_FHIR_POLICY_REGULAR_H

#include "nodes/pathnodes.h"
#include "utils/snapshot.h"

#include "compat.h"

/*
 * May all rows that a call of smart_internal.row_policy() will be asked about be taken for regular?
 * Of a plain table its index of irregular rows tells; of a partitioned one the plan's own
 * partitions are asked once it is made. *table, and *index: its index, to be asked again when the
 * plan starts.
 */
extern bool regular_rows(PlannerInfo *root, FuncExpr *call, bool stored, Oid *table, Oid *index);

/* A partition's index below that of its table; InvalidOid: it has none. */
extern Oid regular_index_of_partition(Oid partition, Oid table_index);

/*
 * A plan found irregular rows in a partition of a table: all partitions are asked when the next is
 * made, until they are regular again.
 */
extern void regular_forget_table(Oid table);
extern bool regular_any_forgotten(const List *tables);

/*
 * Is the index empty of all that a snapshot (NULL: any) may see? False also when it is gone, and
 * in recovery. Locks it until the transaction ends, unless an earlier look still holds.
 */
extern bool policy_regular_index_is_empty(Oid index, Snapshot snapshot);

#endif /* SMART_FHIR_POLICY_REGULAR_H */
