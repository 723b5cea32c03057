/*
 * src/policy/stored_rows.h
 *		Rows of protected tables, found and changed where they lie: without queries, triggers or policies.
 *
 * Reads with a dirty snapshot, whatever the transaction's isolation level: the newest versions
 * that are committed, and what transactions in progress are about to put in their place. Locks no
 * row but one that it changes.
 *
 * Whoever calls is the table's owner meanwhile (src/policy/owner.h): the expressions of the
 * policies and indexes are evaluated with his rights.
 */
#ifndef SMART_FHIR_POLICY_STORED_ROWS_H
#define SMART_FHIR_POLICY_STORED_ROWS_H

#include "access/htup.h"
#include "access/tableam.h"
#include "utils/rel.h"

#include "access/access.h"
#include "compat.h"
#include "policy/named.h"
#include "policy/stored_table.h"

/* What a row says; texts belong to the table's per-row memory, until the next row is read. */
typedef struct StoredRow
{
	bool valid; /* a resource of its table */
	FhirResource resource;
	bool agrees;		/* the id of the row, if it has one, is that of the resource */
	AccessRow patients; /* .patients, .stray_key */
	Jsonb *json;
} StoredRow;

/* What the row in table->slot says. */
extern void stored_row_read(StoredTable *table, StoredRow *row);
extern void stored_row_read_tuple(StoredTable *table, HeapTuple tuple, StoredRow *row);
/* What the row names, and the patient in its column; copies in CurrentMemoryContext. */
extern int stored_row_named(StoredTable *table, const StoredRow *row, NamedRecord **named);
extern const char *stored_row_patient(StoredTable *table);

/*
 * Calls visit for each row with this type and id that is there, or may be there when transactions
 * in progress end. inserting: it is not committed, and another transaction's; replacing: another
 * transaction is changing or deleting it. The row is in the table's slot.
 */
typedef void (*StoredVisit)(StoredTable *table, StoredRow *row, bool inserting, bool replacing,
							void *arg);
extern void stored_rows_by_id(StoredTable *table, Relation rel, FhirText type, FhirText id,
							  StoredVisit visit, void *arg);

/* Where rows lie that name a record ("Type/id"), or may: *n addresses, palloc'd. */
extern ItemPointerData *stored_rows_naming(StoredTable *table, Relation rel, const char *reference,
										   int *n);

/*
 * Fetch a row version at an address or in its chain, the first that is, or may be, alive; false
 * when there is none. *inserter: the transaction in progress that inserts it, or invalid.
 * *tid becomes its own address.
 */
extern bool stored_row_fetch(StoredTable *table, Relation rel, ItemPointer tid,
							 TransactionId *inserter);

/* Lock the row at an address, and fetch it: TM_Ok while it is the newest version. */
extern TM_Result stored_row_lock(StoredTable *table, Relation rel, ItemPointer tid);

/* Give the row that was locked another patient, or NULL; table->slot then holds its new version. */
extern void stored_row_set_patient(StoredTable *table, Relation rel, const char *patient);

#endif /* SMART_FHIR_POLICY_STORED_ROWS_H */
