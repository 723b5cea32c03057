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
 * Are all rows that a call of smart_internal.row_policy() will be asked about regular, as far as
 * their table's index of irregular rows tells? *indexes: OIDs of the indexes that say so, to
 * be asked again when the plan starts.
 */
extern bool policy_rows_are_regular(PlannerInfo *root, FuncExpr *call, bool stored, List **indexes);

/*
 * Is the index empty of all that a snapshot (NULL: any) may see? False also when it is gone.
 * Locks it until the transaction ends, unless an earlier look still holds.
 */
extern bool policy_regular_index_is_empty(Oid index, Snapshot snapshot);

#endif /* SMART_FHIR_POLICY_REGULAR_H */
