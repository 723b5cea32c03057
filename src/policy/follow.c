/*
 * src/policy/follow.c
 *		Records about records: keeping the patient that a record's targets belong to.
 *
 * smart.protect(follow => 'target') gives a table (Provenance, Binary, AuditEvent) a column with
 * the patient of all that the element names. That patient is found when the record is written, and
 * stays: who files a record under a named id afterwards, or under one that a delete freed, neither
 * gets nor takes it. Only when a named record becomes another patient's, what names it becomes
 * nobody's, in the same statement, and so does what names that; smart.refresh_followed() finds
 * their patients again.
 *
 * Two transactions at once, in any isolation level: the writer of a record looks at what it names
 * before and after its row is there, the mover of a named record looks for such rows after the
 * named one has changed, and both see what the other has not committed. So one of them sees the
 * other. Only the mover waits: for the writer, whose rows are of the patient that he takes the
 * record from.
 *
 * Makes no decision; src/access/access.c does, by the column. Here are the triggers. Which tables
 * there are follow_links.h says, whose a record is follow_find.h, what happens to those that name
 * one follow_move.h, and how rows are read and written without SQL stored_rows.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "fhir/tables.h"
#include "policy/follow_find.h"
#include "policy/follow_kept.h"
#include "policy/follow_move.h"
#include "policy/owner.h"

PG_FUNCTION_INFO_V1(smart_keep_followed);
PG_FUNCTION_INFO_V1(smart_touch_followers);

static Following *
following_of(FunctionCallInfo fcinfo)
{
	if (fcinfo->flinfo->fn_extra == NULL)
		fcinfo->flinfo->fn_extra = following_begin(fcinfo->flinfo->fn_mcxt);
	return fcinfo->flinfo->fn_extra;
}

static TriggerData *
trigger_data(FunctionCallInfo fcinfo)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(data->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function must be called as the trigger that smart.protect() makes"));
	return data;
}

/* The patient of an old row, while the new one names the same records; else NULL. */
static const char *
patient_to_keep(StoredTable *table, HeapTuple old_tuple, const NamedRecord *named, int n)
{
	NamedRecord *old_named;
	const char *patient;
	StoredRow row;
	int n_old;

	stored_row_read_tuple(table, old_tuple, &row);
	patient = stored_row_patient(table);
	n_old = stored_row_named(table, &row, &old_named);
	return named_records_equal(old_named, n_old, named, n) ? patient : NULL;
}

/* Before a row is written: the patient that it gets. */
static const char *
patient_of_new_row(Following *state, StoredTable *table, TriggerData *data)
{
	bool update = TRIGGER_FIRED_BY_UPDATE(data->tg_event);
	const char *patient;
	NamedRecord *named;
	StoredRow row;
	int n;

	stored_row_read_tuple(table, update ? data->tg_newtuple : data->tg_trigtuple, &row);
	n = stored_row_named(table, &row, &named);
	if (!update)
	{
		patient = stored_row_patient(table);
		return follow_is_moving(data->tg_relation, patient, named, n)
				   ? patient
				   : follow_find_patient(state, table, named, n);
	}
	patient = patient_to_keep(table, data->tg_trigtuple, named, n);
	follow_note_kept(data->tg_relation, patient, named, n);
	return patient != NULL ? patient : follow_find_patient(state, table, named, n);
}

/* After a row was written: is the patient that was found still the one? */
static void
check_written_row(Following *state, StoredTable *table, TriggerData *data)
{
	bool update = TRIGGER_FIRED_BY_UPDATE(data->tg_event);
	HeapTuple tuple = update ? data->tg_newtuple : data->tg_trigtuple;
	ItemPointerData tid = tuple->t_self;
	const char *patient;
	NamedRecord *named;
	StoredRow row;
	int n;

	stored_row_read_tuple(table, tuple, &row);
	patient = stored_row_patient(table);
	n = stored_row_named(table, &row, &named);
	if (update)
		follow_note_kept(data->tg_relation, NULL, NULL, 0);
	if (patient == NULL || (!update && follow_has_moved(data->tg_relation, patient, named, n)) ||
		(update &&
		 follow_same_text(patient, patient_to_keep(table, data->tg_trigtuple, named, n))) ||
		follow_same_text(patient, follow_find_patient(state, table, named, n)))
		return;
	CommandCounterIncrement();
	if (stored_row_lock(table, data->tg_relation, &tid) == TM_Ok)
		following_set_patient(state, table, data->tg_relation, NULL);
}

static HeapTuple
keep_followed(Following *state, TriggerData *data, HeapTuple tuple)
{
	Relation rel = data->tg_relation;
	StoredTable *table = following_table(state, rel);
	MemoryContext old;

	/*
	 * Without policies a restore is filling the table: it has made the trigger of a partitioned
	 * one before it loads the partitions. Then rows are left as they are.
	 */
	if (table == NULL || table->path == NULL)
		return tuple;
	MemoryContextReset(state->row_context);
	old = MemoryContextSwitchTo(state->row_context);
	if (TRIGGER_FIRED_BEFORE(data->tg_event))
	{
		const char *patient = patient_of_new_row(state, table, data);
		Datum value = patient == NULL ? (Datum) 0 : CStringGetTextDatum(patient);
		bool isnull = patient == NULL;
		int column = table->column;

		MemoryContextSwitchTo(old);
		tuple =
			heap_modify_tuple_by_cols(tuple, RelationGetDescr(rel), 1, &column, &value, &isnull);
	}
	else
	{
		check_written_row(state, table, data);
		MemoryContextSwitchTo(old);
	}
	ExecClearTuple(table->slot);
	return tuple;
}

/* smart_internal.keep_followed(): before a row is written, its patient; afterwards, whether it holds */
Datum
smart_keep_followed(PG_FUNCTION_ARGS)
{
	TriggerData *data = trigger_data(fcinfo);
	HeapTuple tuple =
		TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple;
	HeapTuple volatile kept = tuple;
	Following *state = following_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	AsOwner before;

	if (TRIGGER_FIRED_BY_DELETE(data->tg_event))
		return PointerGetDatum(tuple);
	before = become_owner(data->tg_relation->rd_rel->relowner);
	PG_TRY();
	{
		kept = keep_followed(state, data, tuple);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		following_hide_error(state);
	}
	PG_END_TRY();
	leave_owner(before);
	return PointerGetDatum(kept);
}

static int
compare_keys(const void *a, const void *b)
{
	const FhirText *left = a;
	const FhirText *right = b;
	int order = memcmp(left->data, right->data, Min(left->len, right->len));

	return order != 0 ? order : left->len - right->len;
}

/* Whose a row is, as a text to compare. */
static char *
patients_text(StoredRow *row)
{
	FhirKeys *keys = &row->patients.patients;
	StringInfoData text;

	initStringInfo(&text);
	qsort(keys->keys, keys->n, sizeof(FhirText), compare_keys);
	for (int i = 0; i < keys->n; i++)
	{
		if (i > 0 && fhir_text_equals(keys->keys[i], keys->keys[i - 1]))
			continue;
		appendBinaryStringInfo(&text, keys->keys[i].data, keys->keys[i].len);
		appendStringInfoChar(&text, ' ');
	}
	if (row->patients.stray_key)
		appendStringInfoChar(&text, '?');
	return text.data;
}

typedef struct Elsewhere
{
	const char *patients;
	CommandId moved; /* the command that took the row away */
	bool same;
} Elsewhere;

static void
compare_elsewhere(StoredTable *table, StoredRow *row, bool inserting, bool replacing, void *arg)
{
	Elsewhere *elsewhere = arg;
	HeapTupleHeader header;

	if (inserting)
		return;
	/* what this command wrote, or a trigger of it: other rows of the id are namesakes */
	header = ExecFetchSlotHeapTuple(table->slot, false, NULL)->t_data;
	if (TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(header)) &&
		HeapTupleHeaderGetCmin(header) >= elsewhere->moved)
		elsewhere->same |= strcmp(patients_text(row), elsewhere->patients) == 0;
}

/* A row that an UPDATE moved to another partition: is it whose it was? */
static bool
moved_alike(Following *state, Relation moved, const HeapTupleData *old, const StoredRow *row,
			const char *patients)
{
	Elsewhere elsewhere = {patients, HeapTupleHeaderGetCmax(old->t_data), false};
	FhirText type = {pnstrdup(row->resource.type_name.data, row->resource.type_name.len),
					 row->resource.type_name.len};
	FhirText id = {pnstrdup(row->resource.id.data, row->resource.id.len), row->resource.id.len};
	ListCell *cell;

	foreach(cell, following_leaves(state, follow_root(RelationGetRelid(moved))))
	{
		Relation rel = following_open(lfirst_oid(cell), moved->rd_rel->relowner, AccessShareLock);
		StoredTable *table;

		if (rel == NULL)
			continue;
		table = following_table(state, rel);
		if (table != NULL)
			stored_rows_by_id(table, rel, type, id, compare_elsewhere, &elsewhere);
		relation_close(rel, NoLock);
	}
	return elsewhere.same;
}

static bool
has_moved(Following *state, StoredTable *table, TriggerData *data, char **reference)
{
	StoredRow row;
	char *patients;
	char *renamed;

	stored_row_read_tuple(table, data->tg_trigtuple, &row);
	*reference = follow_reference(&row);
	if (*reference == NULL)
		return false;
	patients = patients_text(&row);
	if (!TRIGGER_FIRED_BY_UPDATE(data->tg_event))
		return !moved_alike(state, data->tg_relation, data->tg_trigtuple, &row, patients);
	/* a record that becomes unreadable, or leaves its id, could come back as another's */
	stored_row_read_tuple(table, data->tg_newtuple, &row);
	renamed = follow_reference(&row);
	return !row.valid || renamed == NULL || strcmp(*reference, renamed) != 0 ||
		   strcmp(patients, patients_text(&row)) != 0;
}

static void
touch_followers(Following *state, TriggerData *data)
{
	Relation rel = data->tg_relation;
	StoredTable *table = following_table(state, rel);
	MemoryContext old;
	char *reference;

	if (table == NULL)
		return;
	MemoryContextReset(state->row_context);
	old = MemoryContextSwitchTo(state->row_context);
	if (has_moved(state, table, data, &reference))
	{
		CommandCounterIncrement();
		MemoryContextSwitchTo(state->context);
		(void) follow_act_on_queue(state,
								   rel->rd_rel->relowner,
								   follow_queue(NIL, follow_followers(rel), reference),
								   FOLLOW_RELEASE);
	}
	ExecClearTuple(table->slot);
	MemoryContextSwitchTo(old);
}

/*
 * smart_internal.touch_followers(): after a record that others may name was changed. When it
 * became another patient's, they become nobody's. A record that goes takes nothing with it.
 */
Datum
smart_touch_followers(PG_FUNCTION_ARGS)
{
	TriggerData *data = trigger_data(fcinfo);
	const TriggerDesc *triggers = data->tg_relation->trigdesc;
	Following *state = following_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	AsOwner before;

	if (!TRIGGER_FIRED_AFTER(data->tg_event) ||
		(!TRIGGER_FIRED_BY_UPDATE(data->tg_event) &&
		 !(TRIGGER_FIRED_BY_DELETE(data->tg_event) &&
		   HeapTupleHeaderIndicatesMovedPartitions(data->tg_trigtuple->t_data))))
		return PointerGetDatum(NULL);
	/* one trigger for each table that follows: the first does it for all */
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (trigger->tgfoid != data->tg_trigger->tgfoid || trigger->tgenabled == TRIGGER_DISABLED)
			continue;
		if (trigger->tgoid != data->tg_trigger->tgoid)
			return PointerGetDatum(NULL);
		break;
	}
	before = become_owner(data->tg_relation->rd_rel->relowner);
	PG_TRY();
	{
		touch_followers(state, data);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		following_hide_error(state);
	}
	PG_END_TRY();
	leave_owner(before);
	return PointerGetDatum(NULL);
}
