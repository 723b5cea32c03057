/*
 * src/policy/follow_move.h
 *		Rows that name a record which became another patient's: to nobody, or found again.
 *
 * Waits for transactions that are writing such rows, and for nobody else. Nothing recurses: what
 * names a row that changed stands in a queue.
 */
#ifndef SMART_FHIR_POLICY_FOLLOW_MOVE_H
#define SMART_FHIR_POLICY_FOLLOW_MOVE_H

#include "compat.h"
#include "policy/follow_state.h"
#include "policy/stored_rows.h"

typedef enum FollowAction
{
	FOLLOW_RELEASE, /* to nobody */
	FOLLOW_FIND		/* of nobody's rows: whose are they now? */
} FollowAction;

/* An element of the queue: a record ("Type/id"), and the OIDs of tables whose rows may name it. */
extern List *follow_queue(List *queue, List *followers, const char *reference);

/* A fetched row that was locked: may it have another patient now? Queues what names it. */
extern bool follow_act_on_row(Following *state, StoredTable *table, Relation rel,
							  FollowAction action, List **queue);

/* The rows that name the records in a queue, and those that name them, and so on; how many changed. */
extern int64 follow_act_on_queue(Following *state, Oid owner, List *queue, FollowAction action);

/* "Type/id" of a row, palloc'd, or NULL. */
extern char *follow_reference(const StoredRow *row);
extern bool follow_same_text(const char *a, const char *b);

#endif /* SMART_FHIR_POLICY_FOLLOW_MOVE_H */
