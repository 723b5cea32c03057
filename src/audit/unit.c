/*
 * src/audit/unit.c
 *		What one statement of the client did, gathered until it is over, then one record.
 *
 * Functions, triggers, DO and cursors inside it add to it. Its memory is its own, so that a record can be
 * made while the transaction is being aborted.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "lib/ilist.h"
#include "utils/memutils.h"

#include "compat.h"
#include "audit/identity.h"
#include "audit/person.h"
#include "audit/record.h"
#include "audit/settings.h"
#include "audit/transaction.h"
#include "audit/unit.h"
#include "session/key_file.h"
#include "session/session.h"

/* Most that one record is about; further ones go into another record. */
#define ROOM_FOR_END 512

/* Who acts: made once a session, shared by its units. */
typedef struct Actor
{
	int refs;
	uint64 generation; /* of the session; 0: nobody */
	uint64 epoch;
	bool hashed;
	uint64 key_generation;
	bool of_patients; /* the session's patients are among the members */
	int len;
	char json[FLEXIBLE_ARRAY_MEMBER];
} Actor;

/* A table and what was done to it. */
typedef struct Use
{
	ProtectedTable *table;
	AuditAction action;
	bool undone;
	bool denied;
	SubTransactionId sub;
	double rows;
} Use;

typedef struct Patient
{
	uint32 hash;
	int len;
	char *id;
} Patient;

struct AuditUnit
{
	dlist_node node;
	int refs;
	int64 statement;
	int64 query_id;
	CmdType command;
	int level; /* in force when it began */
	Actor *actor;
	int n_uses;
	int capacity;
	Use *uses;
	int n_patients;
	Patient *patients;
	bool more_patients;
	AuditFailure denied; /* the first of those inside */
	int n_denied;
};

static const char *const actions[] = {"read", "create", "update", "delete"};

static dlist_head units = DLIST_STATIC_INIT(units);
static MemoryContext memory = NULL;
static Actor *last_actor = NULL;
static int64 last_statement = 0;
static AuditUnit *running = NULL;

AuditUnit *
unit_running(void)
{
	return running;
}

int64
unit_statement(const AuditUnit *unit)
{
	return unit->statement;
}

AuditUnit *
unit_enter(AuditUnit *unit)
{
	AuditUnit *outer = running;

	running = unit;
	return outer;
}

static void
release_actor(Actor *actor)
{
	if (--actor->refs == 0)
		pfree(actor);
}

static Actor *
make_actor(const Session *session)
{
	char json[RECORD_BYTES - 4096];
	AuditText text = {json, 0, sizeof(json), false};
	Actor *actor;

	(void) identity_load();
	if (session != NULL)
	{
		person_of_session(&text, session, person_is_of_patients(session));
		if (text.clipped)
			text_true(&text, "clipped_session");
	}
	actor = MemoryContextAlloc(memory, offsetof(Actor, json) + text.len);
	actor->refs = 1;
	actor->generation = session_generation();
	actor->epoch = session_epoch();
	actor->hashed = audit_hashes_identities();
	actor->key_generation = key_file_generation();
	actor->of_patients = session != NULL && person_is_of_patients(session);
	actor->len = text.len;
	memcpy(actor->json, json, text.len);
	return actor;
}

/* The one of the session of the moment, held. */
static Actor *
actor_now(void)
{
	if (last_actor == NULL || last_actor->epoch != session_epoch() ||
		last_actor->hashed != audit_hashes_identities() ||
		last_actor->key_generation != key_file_generation())
	{
		Actor *made = make_actor(session_current());

		if (last_actor != NULL)
			release_actor(last_actor);
		last_actor = made;
	}
	last_actor->refs++;
	return last_actor;
}

AuditUnit *
unit_begin(CmdType command, int64 query_id)
{
	AuditUnit *unit;

	if (memory == NULL)
		memory =
			AllocSetContextCreate(TopMemoryContext, "smart_fhir audit", ALLOCSET_DEFAULT_SIZES);
	unit = MemoryContextAllocZero(memory, sizeof(AuditUnit));
	unit->refs = 1;
	unit->statement = ++last_statement;
	unit->query_id = query_id;
	unit->command = command;
	unit->level = audit_level;
	record_note_role();
	dlist_push_head(&units, &unit->node);
	return unit;
}

void
unit_hold(AuditUnit *unit)
{
	unit->refs++;
}

static void
forget_uses(AuditUnit *unit)
{
	for (int i = 0; i < unit->n_uses; i++)
		protected_release(unit->uses[i].table);
	for (int i = 0; i < unit->n_patients; i++)
		pfree(unit->patients[i].id);
	unit->n_uses = unit->n_patients = unit->n_denied = 0;
	unit->more_patients = false;
	if (unit->actor != NULL)
		release_actor(unit->actor);
	unit->actor = NULL;
}

static void
free_unit(AuditUnit *unit)
{
	dlist_delete(&unit->node);
	forget_uses(unit);
	if (unit->uses != NULL)
		pfree(unit->uses);
	if (unit->patients != NULL)
		pfree(unit->patients);
	pfree(unit);
}

/* ---- the record ---- */

static void
put_patients(AuditText *out, const AuditUnit *unit)
{
	AuditPatients patients;

	patients_begin(&patients, out);
	for (int i = 0; i < unit->n_patients; i++)
		patients_add(&patients, unit->patients[i].id);
	patients.more |= unit->more_patients;
	patients_end(&patients);
}

static bool
put_use(AuditText *out, const Use *use)
{
	char rest[128];
	int len = snprintf(rest, sizeof(rest), ",\"action\":\"%s\"", actions[use->action]);
	bool first = out->data[out->len - 1] == '[';

	if (use->rows >= 0)
		len += snprintf(rest + len, sizeof(rest) - len, ",\"rows\":%.0f", use->rows);
	if (use->undone)
		len += snprintf(rest + len, sizeof(rest) - len, ",\"undone\":true");
	rest[len++] = '}';
	if (out->len + use->table->len + len + ROOM_FOR_END > out->size)
		return false;
	if (!first)
		(void) text_raw(out, ",", 1);
	return text_raw(out, use->table->json, use->table->len) && text_raw(out, rest, len);
}

/* What the statement is called: by its own command where that did something, else the gravest. */
static const char *
event_of(const AuditUnit *unit)
{
	AuditAction own = unit->command == CMD_INSERT	? AUDIT_CREATE
					  : unit->command == CMD_UPDATE ? AUDIT_UPDATE
					  : unit->command == CMD_DELETE ? AUDIT_DELETE
													: AUDIT_READ;
	AuditAction gravest = AUDIT_READ;

	for (int i = 0; i < unit->n_uses; i++)
	{
		if (unit->uses[i].denied)
			continue;
		if (unit->uses[i].action == own && own != AUDIT_READ)
			return actions[own];
		gravest = Max(gravest, unit->uses[i].action);
	}
	return actions[gravest];
}

static AuditText *
begin_record(const AuditUnit *unit, const char *event)
{
	AuditText *out = record_begin(event);

	if (unit->actor != NULL)
		(void) text_raw(out, unit->actor->json, unit->actor->len);
	if (unit->actor == NULL || !unit->actor->of_patients)
		put_patients(out, unit);
	text_number(out, "statement", unit->statement);
	if (unit->query_id != 0)
		text_number(out, "query_id", unit->query_id);
	return out;
}

static void
end_record(AuditText *out, bool writes, const AuditFailure *failure)
{
	if (writes)
		transaction_members(out);
	if (failure != NULL)
	{
		if (failure->rule[0] != '\0')
			text_member(out, "rule", failure->rule);
		if (failure->sqlstate != 0)
			text_member(out, "sqlstate", unpack_sql_state(failure->sqlstate));
	}
	record_write();
}

/* Which uses a record is about. */
typedef enum UseKind
{
	USES_DONE,
	USES_DENIED, /* inside, and the error was caught */
	USES_ALL	 /* of a statement that failed */
} UseKind;

static bool
is_of_kind(const Use *use, UseKind kind)
{
	return kind == USES_ALL || use->denied == (kind == USES_DENIED);
}

/* In as many records as it takes. */
static void
write_uses(const AuditUnit *unit, const char *event, UseKind kind, const AuditFailure *failure)
{
	AuditText *out = begin_record(unit, event);
	bool writes = false;
	bool open = text_open(out, "relations");

	for (int i = 0; i < unit->n_uses; i++)
	{
		const Use *use = &unit->uses[i];

		if (!is_of_kind(use, kind))
			continue;
		writes |= use->action != AUDIT_READ;
		if (open && put_use(out, use))
			continue;
		if (open)
			text_close(out);
		end_record(out, writes, failure);
		out = begin_record(unit, event);
		open = text_open(out, "relations");
		if (open)
			(void) put_use(out, use);
	}
	if (open)
		text_close(out);
	if (kind == USES_DENIED && unit->n_denied > 1)
		text_number(out, "count", unit->n_denied);
	end_record(out, writes, failure);
}

static bool
is_recorded(const AuditUnit *unit, bool writes)
{
	int level = Max(unit->level, audit_level);

	return level >= AUDIT_ALL || (writes && level >= AUDIT_WRITES);
}

static void
write_unit(AuditUnit *unit)
{
	bool any = false;
	bool writes = false;
	bool lasting = false;

	for (int i = 0; i < unit->n_uses; i++)
	{
		const Use *use = &unit->uses[i];

		if (use->denied)
			continue;
		any = true;
		writes |= use->action != AUDIT_READ;
		lasting |= use->action != AUDIT_READ && !use->undone;
	}
	if (any && is_recorded(unit, writes))
	{
		write_uses(unit, event_of(unit), USES_DONE, NULL);
		if (lasting)
			transaction_note_write(unit->statement);
	}
	if (unit->n_denied > 0)
		write_uses(unit, "denied", USES_DENIED, &unit->denied);
	forget_uses(unit);
}

void
unit_fail(AuditUnit *unit, const AuditFailure *failure)
{
	bool denied = failure->sqlstate == ERRCODE_INSUFFICIENT_PRIVILEGE;
	bool writes = false;

	for (int i = 0; i < unit->n_uses; i++)
	{
		Use *use = &unit->uses[i];

		/* how many it would have been nobody knows */
		if (use->action != AUDIT_READ)
			use->rows = AUDIT_ROWS_UNKNOWN;
		writes |= use->action != AUDIT_READ;
	}
	if (denied ? unit->n_uses > 0 || failure->ours : unit->n_uses > 0 && is_recorded(unit, writes))
	{
		if (unit->actor == NULL)
			unit->actor = actor_now();
		write_uses(unit, denied ? "denied" : event_of(unit), USES_ALL, failure);
	}
	forget_uses(unit);
}

void
unit_release(AuditUnit *unit)
{
	if (--unit->refs > 0)
		return;
	/* while a transaction is being aborted nothing is written but by its callbacks */
	if (!IsTransactionState() && (unit->n_uses > 0 || unit->n_denied > 0))
		return;
	write_unit(unit);
	free_unit(unit);
}

/* ---- what is added ---- */

void
unit_check_session(AuditUnit *unit)
{
	if (unit->actor != NULL && unit->actor->generation != session_generation())
		write_unit(unit);
	if (unit->actor == NULL)
		unit->actor = actor_now();
}

static Use *
find_use(AuditUnit *unit, const Use *like)
{
	for (int i = 0; i < unit->n_uses; i++)
	{
		Use *use = &unit->uses[i];

		if (use->table == like->table && use->action == like->action &&
			use->undone == like->undone && use->denied == like->denied && use->sub == like->sub)
			return use;
	}
	return NULL;
}

static void
add_rows(Use *use, double rows)
{
	use->rows = use->rows < 0 || rows < 0 ? AUDIT_ROWS_UNKNOWN : use->rows + rows;
}

static void
add_use(AuditUnit *unit, const Use *added)
{
	Use *use = find_use(unit, added);

	if (use != NULL)
	{
		add_rows(use, added->rows);
		return;
	}
	if (unit->n_uses == unit->capacity)
	{
		int more = Max(4, unit->capacity * 2);

		unit->uses = unit->uses == NULL ? MemoryContextAlloc(memory, sizeof(Use) * more)
										: repalloc(unit->uses, sizeof(Use) * more);
		unit->capacity = more;
	}
	unit->uses[unit->n_uses] = *added;
	added->table->refs++;
	unit->n_uses++;
}

void
unit_use(AuditUnit *unit, ProtectedTable *table, AuditAction action, double rows)
{
	Use use = {.table = table, .action = action, .rows = rows};

	use.sub = action == AUDIT_READ ? InvalidSubTransactionId : GetCurrentSubTransactionId();
	add_use(unit, &use);
}

void
unit_denied_inside(AuditUnit *unit, ProtectedTable *table, AuditAction action,
				   const AuditFailure *failure)
{
	Use use = {.table = table, .action = action, .denied = true, .rows = AUDIT_ROWS_UNKNOWN};

	if (unit->n_denied++ == 0)
		unit->denied = *failure;
	add_use(unit, &use);
}

bool
unit_has(const AuditUnit *unit, const ProtectedTable *table)
{
	for (int i = 0; i < unit->n_uses; i++)
		if (unit->uses[i].table == table)
			return true;
	return false;
}

bool
unit_wants_patients(const AuditUnit *unit)
{
	return !unit->more_patients && (unit->actor == NULL || !unit->actor->of_patients);
}

void
unit_more_patients(AuditUnit *unit)
{
	unit->more_patients = true;
}

void
unit_patient(AuditUnit *unit, const char *id, int len)
{
	uint32 hash = hash_bytes((const unsigned char *) id, len);
	Patient *patient;

	/* rows of one patient stand together more often than not */
	for (int i = unit->n_patients - 1; i >= 0; i--)
	{
		patient = &unit->patients[i];
		if (patient->hash == hash && patient->len == len && memcmp(patient->id, id, len) == 0)
			return;
	}
	if (unit->n_patients == AUDIT_MAX_PATIENTS)
	{
		unit->more_patients = true;
		return;
	}
	if (unit->patients == NULL)
		unit->patients = MemoryContextAlloc(memory, sizeof(Patient) * AUDIT_MAX_PATIENTS);
	patient = &unit->patients[unit->n_patients];
	patient->id = MemoryContextAlloc(memory, len + 1);
	memcpy(patient->id, id, len);
	patient->id[len] = '\0';
	patient->len = len;
	patient->hash = hash;
	unit->n_patients++;
}

/* ---- transactions ---- */

void
units_end_transaction(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &units)
	{
		AuditUnit *unit = dlist_container(AuditUnit, node, iter.cur);

		write_unit(unit);
		if (unit->refs == 0)
			free_unit(unit);
	}
}

/* Uses of this savepoint, and of those in it, become another one's, or undone. */
static void
move_uses(AuditUnit *unit, SubTransactionId from, SubTransactionId to, bool undone)
{
	int n = unit->n_uses;

	unit->n_uses = 0;
	for (int i = 0; i < n; i++)
	{
		Use use = unit->uses[i];
		Use *same;

		if (use.sub >= from)
		{
			use.sub = to;
			use.undone |= undone;
		}
		same = find_use(unit, &use);
		if (same == NULL)
		{
			unit->uses[unit->n_uses++] = use;
			continue;
		}
		add_rows(same, use.rows);
		protected_release(use.table);
	}
}

void
units_commit_sub(SubTransactionId sub, SubTransactionId parent)
{
	dlist_iter iter;

	dlist_foreach(iter, &units)
		move_uses(dlist_container(AuditUnit, node, iter.cur), sub, parent, false);
}

void
units_abort_sub(SubTransactionId sub, SubTransactionId parent)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &units)
	{
		AuditUnit *unit = dlist_container(AuditUnit, node, iter.cur);

		move_uses(unit, sub, parent, true);
		if (unit->refs > 0)
			continue;
		write_unit(unit);
		free_unit(unit);
	}
}
