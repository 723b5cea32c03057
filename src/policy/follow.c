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
 * Makes no decision; src/access/access.c does, by the column. Knows no SQL: src/policy/stored_rows.h
 * reads and writes rows, src/policy/follow_links.h says which tables there are.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "fhir/tables.h"
#include "policy/follow_links.h"
#include "policy/named.h"
#include "policy/owner.h"
#include "policy/stored_rows.h"

PG_FUNCTION_INFO_V1(smart_keep_followed);
PG_FUNCTION_INFO_V1(smart_touch_followers);
PG_FUNCTION_INFO_V1(smart_follow_rows);

/* ---- what a statement has read of tables ---- */

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

/* Lives as long as a statement's calls of one trigger, or as one call of refresh_followed(). */
typedef struct Following
{
	MemoryContext context;
	MemoryContext row_context;	  /* of one row that a trigger is called for */
	MemoryContext search_context; /* of one search for rows that name it */
	MemoryContext work_context;	  /* of one of those */
	HTAB *tables;				  /* KnownTable */
	HTAB *leaves;				  /* KnownLeaves */
	Oid follower;				  /* whose links follow */
	FollowedTable *links;
	int n_links;
} Following;

static Following *
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

static Following *
following_of(FunctionCallInfo fcinfo)
{
	if (fcinfo->flinfo->fn_extra == NULL)
		fcinfo->flinfo->fn_extra = following_begin(fcinfo->flinfo->fn_mcxt);
	return fcinfo->flinfo->fn_extra;
}

static StoredTable *
known_table(Following *state, Relation rel)
{
	Oid relid = RelationGetRelid(rel);
	KnownTable *known = hash_search(state->tables, &relid, HASH_FIND, NULL);

	if (known == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(state->context);
		StoredTable *table = stored_table(rel);

		known = hash_search(state->tables, &relid, HASH_ENTER, NULL);
		known->table = table;
		MemoryContextSwitchTo(old);
	}
	return known->table;
}

static List *
known_leaves(Following *state, Oid relid)
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

/* ---- whose a record is ---- */

typedef struct Finding
{
	const char *patient; /* so far, palloc'd; NULL: none yet */
	bool nobody;		 /* two patients, or one that cannot be told */
	List *pending;		 /* patients of versions that others have not committed */
	/* of the record that is looked at */
	bool found;
	bool may_name; /* records of its type name a patient */
} Finding;

static void
add_patient(Finding *finding, FhirText key)
{
	/* keys of other servers' patients are URLs */
	if (!fhir_id_is_valid(key.data, key.len))
		finding->nobody = true;
	else if (finding->patient == NULL)
		finding->patient = pnstrdup(key.data, key.len);
	else if (strlen(finding->patient) != (size_t) key.len ||
			 memcmp(finding->patient, key.data, key.len) != 0)
		finding->nobody = true;
}

static void
find_in_row(StoredTable *table, StoredRow *row, bool inserting, void *arg)
{
	Finding *finding = arg;
	const FhirKeys *keys = &row->patients.patients;

	if (row->patients.stray_key || (keys->n == 0 && finding->may_name))
	{
		finding->nobody = true;
		return;
	}
	if (!inserting)
		finding->found = true;
	for (int i = 0; i < keys->n; i++)
	{
		if (!inserting)
			add_patient(finding, keys->keys[i]);
		else
			finding->pending =
				lappend(finding->pending, pnstrdup(keys->keys[i].data, keys->keys[i].len));
	}
}

static bool
same_base(FhirText a, FhirText b)
{
	if (a.data == NULL || b.data == NULL)
		return a.data == b.data;
	return fhir_text_equals(a, b);
}

/* Asked before a table is locked, so that nobody else's lock is waited for. */
static bool
belongs_to(Oid relid, Oid owner)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool owned = HeapTupleIsValid(tuple) && ((Form_pg_class) GETSTRUCT(tuple))->relowner == owner;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return owned;
}

/* A table, if it belongs to this role. */
static Relation
open_owned(Oid relid, Oid owner, LOCKMODE mode)
{
	return belongs_to(relid, owner) ? try_relation_open(relid, mode) : NULL;
}

/* One named record: adds its patient, or what speaks against there being one. */
static void
find_named(Following *state, StoredTable *follower, const NamedRecord *named, Finding *finding)
{
	int type = named->type.data == NULL
				   ? -1
				   : fhir_type_lookup(follower->table.version, named->type.data, named->type.len);
	bool typed = false;
	bool tells = false; /* a table of the type says whose its records are */

	finding->found = false;
	finding->may_name = fhir_type_in_compartment(follower->table.version, type);
	if (type < 0 || (!named->local && finding->may_name))
	{
		finding->nobody = true;
		return;
	}
	if (!named->local)
		return;
	if (named->type.len == 7 && memcmp(named->type.data, "Patient", 7) == 0)
	{
		add_patient(finding, named->id);
		return;
	}
	for (int i = 0; i < state->n_links; i++)
		typed |= strlen(state->links[i].type) == (size_t) named->type.len &&
				 memcmp(state->links[i].type, named->type.data, named->type.len) == 0;
	for (int i = 0; i < state->n_links && !finding->nobody; i++)
	{
		ListCell *cell;

		if (typed ? strlen(state->links[i].type) != (size_t) named->type.len ||
						memcmp(state->links[i].type, named->type.data, named->type.len) != 0
				  : strcmp(state->links[i].type, "*") != 0)
			continue;
		if (!belongs_to(state->links[i].relid, follower->owner))
			continue;
		foreach(cell, known_leaves(state, state->links[i].relid))
		{
			Relation rel = open_owned(lfirst_oid(cell), follower->owner, AccessShareLock);
			StoredTable *table;

			if (rel == NULL)
				continue;
			table = known_table(state, rel);
			/* asked: tables of the same owner, about the same records */
			if (table != NULL && table->owner == follower->owner &&
				table->table.version == follower->table.version &&
				same_base(table->table.base_url, follower->table.base_url))
			{
				if (access_table_shares(&table->table, named->type.data, named->type.len))
					finding->may_name = false;
				else
				{
					tells |= table->table.has_patients;
					stored_rows_by_id(table, rel, named->type, named->id, find_in_row, finding);
				}
			}
			relation_close(rel, NoLock);
		}
	}
	if (!finding->found && (finding->may_name || tells))
		finding->nobody = true;
}

/*
 * The one patient that all the named records belong to, palloc'd, or NULL. Records of types that
 * cannot name a patient (Location) do not count, unless a table knows one of them.
 */
static const char *
find_patient(Following *state, StoredTable *follower, const NamedRecord *named, int n)
{
	Finding finding = {0};
	ListCell *cell;

	if (state->follower != follower->relid)
	{
		MemoryContext old = MemoryContextSwitchTo(state->context);

		if (state->links != NULL)
			pfree(state->links);
		state->links = follow_links(follower->relid, &state->n_links);
		state->follower = follower->relid;
		MemoryContextSwitchTo(old);
	}
	finding.nobody = n < 0;
	for (int i = 0; i < n && !finding.nobody; i++)
		find_named(state, follower, &named[i], &finding);
	foreach(cell, finding.pending)
		if (finding.patient == NULL || strcmp(lfirst(cell), finding.patient) != 0)
			finding.nobody = true;
	return finding.nobody ? NULL : finding.patient;
}

/* ---- rows that name a record ---- */

typedef enum FollowAction
{
	FOLLOW_RELEASE, /* to nobody */
	FOLLOW_FIND		/* of nobody's rows: whose are they now? */
} FollowAction;

typedef struct NamedEntry
{
	List *followers; /* OIDs of tables */
	char *reference;
} NamedEntry;

static NamedEntry *
named_entry(List *followers, const char *reference)
{
	NamedEntry *entry = palloc(sizeof(NamedEntry));

	entry->followers = followers;
	entry->reference = pstrdup(reference);
	return entry;
}

/* "Type/id" of a row, or NULL. */
static char *
reference_of(const StoredRow *row)
{
	if (!row->valid || row->resource.id.data == NULL)
		return NULL;
	return psprintf("%.*s/%.*s",
					row->resource.type_name.len,
					row->resource.type_name.data,
					row->resource.id.len,
					row->resource.id.data);
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/*
 * The row that was just given a patient, in table->slot: is it his, now that others see it? If
 * what it names was moved meanwhile, it becomes nobody's.
 */
static bool
is_still_of(Following *state, StoredTable *table, Relation rel, const char *patient)
{
	ItemPointerData tid = table->slot->tts_tid;
	NamedRecord *named;
	StoredRow row;
	int n;

	stored_row_read(table, &row);
	n = stored_row_named(table, &row, &named);
	if (same_text(find_patient(state, table, named, n), patient))
		return true;
	if (stored_row_lock(table, rel, &tid) == TM_Ok)
		stored_row_set_patient(table, rel, NULL);
	return false;
}

/* A fetched row that was locked: may it have another patient now? Queues what names it. */
static bool
act_on_row(Following *state, StoredTable *table, Relation rel, FollowAction action, List **queue)
{
	ItemPointerData tid = table->slot->tts_tid;
	NamedRecord *named;
	StoredRow row;
	char *reference;
	const char *old_patient;
	const char *patient;
	int n;

	stored_row_read(table, &row);
	reference = reference_of(&row);
	old_patient = stored_row_patient(table);
	n = stored_row_named(table, &row, &named);
	patient = find_patient(state, table, named, n);
	/* one that is written by the same statement may know better already */
	if (same_text(patient, old_patient))
		return false;
	if (action == FOLLOW_RELEASE)
		patient = NULL;
	/* a table may follow itself: fetch the row again */
	if (stored_row_lock(table, rel, &tid) != TM_Ok)
		return false;
	stored_row_set_patient(table, rel, patient);
	if (patient != NULL && !is_still_of(state, table, rel, patient))
		return false;
	if (reference != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(state->context);
		List *followers = follow_followers(rel);

		if (followers != NIL)
			*queue = lappend(*queue, named_entry(followers, reference));
		MemoryContextSwitchTo(old);
	}
	return true;
}

/* The rows of one table (no partitioned one) that name a record. */
static int64
act_on_table(Following *state, Relation rel, const char *reference, FollowAction action,
			 List **queue)
{
	StoredTable *table = known_table(state, rel);
	MemoryContext caller = CurrentMemoryContext;
	ItemPointerData *tids;
	int64 changed = 0;
	bool again;

	if (table == NULL || table->path == NULL)
		return 0;
	do
	{
		int n;

		again = false;
		tids = stored_rows_naming(table, rel, reference, &n);
		for (int i = 0; i < n; i++)
		{
			TransactionId inserter;
			StoredRow row;
			NamedRecord *named;
			bool names = false;
			int n_named;

			CHECK_FOR_INTERRUPTS();
			MemoryContextReset(state->work_context);
			MemoryContextSwitchTo(state->work_context);
			if (!stored_row_fetch(table, rel, &tids[i], &inserter))
				continue;
			stored_row_read(table, &row);
			if ((stored_row_patient(table) == NULL) != (action == FOLLOW_FIND))
				continue;
			n_named = stored_row_named(table, &row, &named);
			for (int j = 0; j < n_named && !names; j++)
				names =
					named[j].local &&
					strlen(reference) ==
						(size_t) named[j].type.len + 1 + (size_t) named[j].id.len &&
					memcmp(reference, named[j].type.data, named[j].type.len) == 0 &&
					memcmp(reference + named[j].type.len + 1, named[j].id.data, named[j].id.len) ==
						0;
			if (!names)
				continue;
			if (TransactionIdIsValid(inserter))
			{
				/* whoever writes it may have looked before; a refresh leaves it to him */
				if (action == FOLLOW_FIND)
					continue;
				ExecClearTuple(table->slot);
				XactLockTableWait(inserter, rel, &tids[i], XLTW_Update);
				again = true;
			}
			else
			{
				TM_Result result = stored_row_lock(table, rel, &tids[i]);

				if (result == TM_Ok)
					changed += act_on_row(state, table, rel, action, queue);
				else
					again |= result == TM_Updated || result == TM_Deleted;
			}
		}
		MemoryContextSwitchTo(caller);
		pfree(tids);
	} while (again);
	ExecClearTuple(table->slot);
	return changed;
}

/* The rows that name the records in a queue, and those that name them, and so on. */
static int64
act_on_followers(Following *state, Oid owner, List *queue, FollowAction action)
{
	int64 changed = 0;

	while (queue != NIL)
	{
		NamedEntry *entry = linitial(queue);
		ListCell *cell;

		queue = list_delete_first(queue);
		foreach(cell, entry->followers)
		{
			ListCell *leaf;

			if (!belongs_to(lfirst_oid(cell), owner))
				continue;
			foreach(leaf, known_leaves(state, lfirst_oid(cell)))
			{
				Relation rel = open_owned(lfirst_oid(leaf), owner, RowExclusiveLock);

				if (rel == NULL)
					continue;
				if (rel->rd_rel->relowner == owner)
				{
					MemoryContext old = MemoryContextSwitchTo(state->search_context);

					changed += act_on_table(state, rel, entry->reference, action, &queue);
					MemoryContextSwitchTo(old);
					MemoryContextReset(state->search_context);
				}
				relation_close(rel, NoLock);
			}
		}
		list_free(entry->followers);
		pfree(entry->reference);
		pfree(entry);
	}
	return changed;
}

/* ---- triggers ---- */

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

/*
 * What BEFORE UPDATE kept of partitions' rows: if one moves to another partition, it is inserted
 * there by the same command, right afterwards, and the triggers are not shown its old version
 * again. Of the transaction's other ones a bit each is known: a row that only looks like one of
 * them is not looked up a second time, after it was written.
 */
static struct
{
	TimestampTz transaction;
	CommandId command;
	uint32 last; /* a hash of table, patient and named records */
	uint64 bits[128];
} kept;

static uint32
hash_kept(Relation rel, const char *patient, const NamedRecord *named, int n)
{
	uint32 hash = hash_combine(follow_root(RelationGetRelid(rel)),
							   hash_bytes((const unsigned char *) patient, (int) strlen(patient)));

	for (int i = 0; i < n; i++)
	{
		hash = hash_combine(
			hash, hash_bytes((const unsigned char *) named[i].type.data, named[i].type.len));
		hash = hash_combine(hash,
							hash_bytes((const unsigned char *) named[i].id.data, named[i].id.len));
	}
	return hash;
}

static bool
was_kept(Relation rel, const char *patient, const NamedRecord *named, int n, bool before)
{
	uint32 hash;

	if (patient == NULL || !rel->rd_rel->relispartition ||
		kept.transaction != GetCurrentTransactionStartTimestamp() ||
		(before && kept.command != GetCurrentCommandId(false)))
		return false;
	hash = hash_kept(rel, patient, named, n);
	if (before)
		return kept.last == hash;
	return (kept.bits[hash / 64 % lengthof(kept.bits)] & (UINT64CONST(1) << hash % 64)) != 0;
}

static void
note_kept(Relation rel, const char *patient, const NamedRecord *named, int n)
{
	if (!rel->rd_rel->relispartition)
		return;
	if (kept.transaction != GetCurrentTransactionStartTimestamp())
		memset(&kept, 0, sizeof(kept));
	kept.transaction = GetCurrentTransactionStartTimestamp();
	kept.command = GetCurrentCommandId(false);
	kept.last = hash_kept(rel, patient, named, n);
	kept.bits[kept.last / 64 % lengthof(kept.bits)] |= UINT64CONST(1) << kept.last % 64;
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
		return was_kept(data->tg_relation, patient, named, n, true)
				   ? patient
				   : find_patient(state, table, named, n);
	}
	patient = patient_to_keep(table, data->tg_trigtuple, named, n);
	if (patient == NULL)
		return find_patient(state, table, named, n);
	note_kept(data->tg_relation, patient, named, n);
	return patient;
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
	if (patient == NULL || (!update && was_kept(data->tg_relation, patient, named, n, false)) ||
		(update && same_text(patient, patient_to_keep(table, data->tg_trigtuple, named, n))) ||
		same_text(patient, find_patient(state, table, named, n)))
		return;
	CommandCounterIncrement();
	if (stored_row_lock(table, data->tg_relation, &tid) == TM_Ok)
		stored_row_set_patient(table, data->tg_relation, NULL);
}

/* smart_internal.keep_followed(): before a row is written, its patient; afterwards, whether it holds */
Datum
smart_keep_followed(PG_FUNCTION_ARGS)
{
	TriggerData *data = trigger_data(fcinfo);
	Relation rel = data->tg_relation;
	HeapTuple tuple = data->tg_trigtuple;
	Following *state = following_of(fcinfo);
	StoredTable *table;
	AsOwner before;
	MemoryContext old;

	if (TRIGGER_FIRED_BY_DELETE(data->tg_event))
		return PointerGetDatum(tuple);
	if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
		tuple = data->tg_newtuple;
	before = become_owner(rel->rd_rel->relowner);
	table = known_table(state, rel);
	/*
	 * Without policies a restore is filling the table: it has made the trigger of a partitioned
	 * one before it loads the partitions. Then rows are left as they are.
	 */
	if (table != NULL && table->path != NULL)
	{
		MemoryContextReset(state->row_context);
		old = MemoryContextSwitchTo(state->row_context);
		if (TRIGGER_FIRED_BEFORE(data->tg_event))
		{
			const char *patient = patient_of_new_row(state, table, data);
			Datum value = patient == NULL ? (Datum) 0 : CStringGetTextDatum(patient);
			bool isnull = patient == NULL;
			int column = table->column;

			MemoryContextSwitchTo(old);
			tuple = heap_modify_tuple_by_cols(
				tuple, RelationGetDescr(rel), 1, &column, &value, &isnull);
		}
		else
		{
			check_written_row(state, table, data);
			MemoryContextSwitchTo(old);
		}
		ExecClearTuple(table->slot);
	}
	leave_owner(before);
	return PointerGetDatum(tuple);
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
	bool found;
	bool same;
} Elsewhere;

static void
compare_elsewhere(StoredTable *table, StoredRow *row, bool inserting, void *arg)
{
	Elsewhere *elsewhere = arg;

	elsewhere->found = true;
	elsewhere->same &= strcmp(patients_text(row), elsewhere->patients) == 0;
}

/* A row that an UPDATE moved to another partition: is it whose it was? */
static bool
moved_alike(Following *state, Relation moved, const StoredRow *row, const char *patients)
{
	Elsewhere elsewhere = {patients, false, true};
	FhirText type = {pnstrdup(row->resource.type_name.data, row->resource.type_name.len),
					 row->resource.type_name.len};
	FhirText id = {pnstrdup(row->resource.id.data, row->resource.id.len), row->resource.id.len};
	ListCell *cell;

	foreach(cell, known_leaves(state, follow_root(RelationGetRelid(moved))))
	{
		Relation rel = open_owned(lfirst_oid(cell), moved->rd_rel->relowner, AccessShareLock);
		StoredTable *table;

		if (rel == NULL)
			continue;
		table = known_table(state, rel);
		if (table != NULL)
			stored_rows_by_id(table, rel, type, id, compare_elsewhere, &elsewhere);
		relation_close(rel, NoLock);
	}
	return elsewhere.found && elsewhere.same;
}

/*
 * smart_internal.touch_followers(): after a record that others may name was changed. When it
 * became another patient's, they become nobody's. A record that goes takes nothing with it.
 */
Datum
smart_touch_followers(PG_FUNCTION_ARGS)
{
	TriggerData *data = trigger_data(fcinfo);
	Relation rel = data->tg_relation;
	Following *state = following_of(fcinfo);
	bool update = TRIGGER_FIRED_BY_UPDATE(data->tg_event);
	StoredTable *table;
	AsOwner before;
	MemoryContext old;

	if (!TRIGGER_FIRED_AFTER(data->tg_event) ||
		(!update && !(TRIGGER_FIRED_BY_DELETE(data->tg_event) &&
					  HeapTupleHeaderIndicatesMovedPartitions(data->tg_trigtuple->t_data))))
		return PointerGetDatum(NULL);
	/* one trigger for each table that follows: the first does it for all */
	for (int i = 0; i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		if (trigger->tgfoid != data->tg_trigger->tgfoid || trigger->tgenabled == TRIGGER_DISABLED)
			continue;
		if (trigger->tgoid != data->tg_trigger->tgoid)
			return PointerGetDatum(NULL);
		break;
	}
	before = become_owner(rel->rd_rel->relowner);
	MemoryContextReset(state->row_context);
	old = MemoryContextSwitchTo(state->row_context);
	table = known_table(state, rel);
	if (table != NULL)
	{
		char *patients;
		char *reference;
		StoredRow row;
		bool moved;

		stored_row_read_tuple(table, data->tg_trigtuple, &row);
		reference = reference_of(&row);
		moved = reference != NULL;
		if (moved)
		{
			patients = patients_text(&row);
			if (update)
			{
				char *renamed;

				/* a record that becomes unreadable, or leaves its id, could come back as another's */
				stored_row_read_tuple(table, data->tg_newtuple, &row);
				renamed = reference_of(&row);
				moved = !row.valid || renamed == NULL || strcmp(reference, renamed) != 0 ||
						strcmp(patients, patients_text(&row)) != 0;
			}
			else
				moved = !moved_alike(state, rel, &row, patients);
		}
		if (moved)
		{
			CommandCounterIncrement();
			MemoryContextSwitchTo(state->context);
			(void) act_on_followers(state,
									rel->rd_rel->relowner,
									list_make1(named_entry(follow_followers(rel), reference)),
									FOLLOW_RELEASE);
		}
		ExecClearTuple(table->slot);
	}
	MemoryContextSwitchTo(old);
	leave_owner(before);
	return PointerGetDatum(NULL);
}

/* ---- all rows of a table ---- */

static int64
refresh_table(Following *state, Relation rel, bool everything, List **queue)
{
	StoredTable *table = known_table(state, rel);
	Snapshot snapshot;
	TableScanDesc scan;
	TupleTableSlot *slot;
	int64 changed = 0;

	if (table == NULL || table->path == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("table \"%s\" follows nothing", RelationGetRelationName(rel)),
				errhint("Protect it with follow => the element that names the other records."),
				err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
				err_generic_string(PG_DIAG_CONSTRAINT_NAME, "protect"));
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	slot = table_slot_create(rel, NULL);
	scan = compat_table_beginscan(rel, snapshot);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		ItemPointerData tid = slot->tts_tid;
		MemoryContext old;
		const char *patient;
		const char *found;
		NamedRecord *named;
		StoredRow row;
		int n;
		bool isnull;

		CHECK_FOR_INTERRUPTS();
		(void) slot_getattr(slot, table->column, &isnull);
		if (!isnull && !everything)
			continue;
		MemoryContextReset(state->row_context);
		old = MemoryContextSwitchTo(state->row_context);
		ExecCopySlot(table->slot, slot);
		stored_row_read(table, &row);
		patient = stored_row_patient(table);
		n = stored_row_named(table, &row, &named);
		found = find_patient(state, table, named, n);
		/* what somebody else changed since was looked up by his statement */
		if (!same_text(patient, found) && stored_row_lock(table, rel, &tid) == TM_Ok)
		{
			if (found != NULL)
				changed += act_on_row(state, table, rel, FOLLOW_FIND, queue);
			else
			{
				stored_row_set_patient(table, rel, NULL);
				changed++;
			}
		}
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	ExecClearTuple(table->slot);
	return changed;
}

/*
 * smart_internal.follow_rows(relation regclass, everything boolean) -> bigint: look up rows that
 * are nobody's, or everything; how many got another patient
 */
Datum
smart_follow_rows(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	bool everything = PG_GETARG_BOOL(1);
	Oid owner = owner_checked(relid);
	AsOwner before = become_owner(owner);
	Following *state = following_begin(CurrentMemoryContext);
	List *queue = NIL;
	int64 changed = 0;
	ListCell *cell;

	foreach(cell, follow_leaves(relid))
	{
		Relation rel = try_relation_open(lfirst_oid(cell), RowExclusiveLock);

		if (rel == NULL)
			continue;
		if (rel->rd_rel->relkind != RELKIND_RELATION)
			ereport(ERROR,
					errcode(ERRCODE_WRONG_OBJECT_TYPE),
					errmsg("\"%s\" is not a table", RelationGetRelationName(rel)));
		if (rel->rd_rel->relowner == owner)
			changed += refresh_table(state, rel, everything, &queue);
		relation_close(rel, NoLock);
	}
	/* rows that name one of those */
	changed += act_on_followers(state, owner, queue, FOLLOW_FIND);
	leave_owner(before);
	PG_RETURN_INT64(changed);
}
