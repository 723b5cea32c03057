/*
 * src/policy/forms.c
 *		Which form each policy call has under which session.
 *
 * A backend meets few calls (four a table) and few kinds of session: tokens of one application
 * differ by their patient, not by what they may do. So calls are numbered, sessions are reduced
 * to their kind, which is all of a session that a form can depend on, compared byte by byte,
 * and a kind keeps the form of each call.
 *
 * Anybody may make calls of his own: what is remembered is bounded, the call that was asked for
 * longest ago makes room, and nothing rests on a call still being known: plans and statements hold
 * what a call was told, not its number.
 *
 * Knows nothing of rows, indexes, plans or the planner.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "compat.h"
#include "policy/forms.h"
#include "policy/options.h"

/* Four a table, five where writes have targets of their own. */
#define MAX_CALLS 1024
#define CALL_BUCKETS 256
#define MAX_KINDS 64
/* Calls with longer options or types are not remembered: protect() writes no such policy. */
#define MAX_OPTIONS_BYTES 16384
#define MAX_TYPE_BYTES 128
/* Longer ones (scopes of many kilobytes) have no kind: their forms are computed each time. */
#define MAX_KIND_BYTES 8192
#define UNKNOWN 0xFF

StaticAssertDecl(POLICY_N_FORMS <= 15, "a form is half a byte");

typedef struct Call
{
	MemoryContext context;
	struct Call *next; /* in its bucket */
	int slot;
	uint64 last_used;
	/* what the call is told, to compare */
	uint32 hash;
	text *command_text;
	text *type_text; /* NULL: of many types */
	Jsonb *options;
	AccessCommand command;
	bool folds; /* checks of new rows do not: they raise an error */
	int type;	/* -1: many */
	bool known_type;
	AccessTable table;
} Call;

typedef struct Kind
{
	uint32 id; /* number * MAX_KINDS + slot; 0: empty */
	uint32 hash;
	int len;
	char *bytes;
	uint64 last_used;
	uint8 forms[MAX_CALLS]; /* form | levels << 4; UNKNOWN until computed */
} Kind;

static MemoryContext forms_context = NULL;
static Call *calls[MAX_CALLS];
static Call *buckets[CALL_BUCKETS];
static int n_calls = 0;
static Kind *kinds[MAX_KINDS];
static uint32 last_kind = 0;
static uint64 use_counter = 0;

static MemoryContext
context(void)
{
	if (forms_context == NULL)
		forms_context =
			AllocSetContextCreate(TopMemoryContext, "smart_fhir forms", ALLOCSET_SMALL_SIZES);
	return forms_context;
}

static Call *
call_of(PolicyCall number)
{
	return number > 0 && number <= (PolicyCall) n_calls ? calls[number - 1] : NULL;
}

/* A free place: the next one, or that of the call that was asked for longest ago. */
static int
make_room(void)
{
	Call *oldest = calls[0];
	Call **link;

	if (n_calls < MAX_CALLS)
		return n_calls++;
	for (int i = 1; i < n_calls; i++)
		if (calls[i]->last_used < oldest->last_used)
			oldest = calls[i];
	link = &buckets[oldest->hash % CALL_BUCKETS];
	while (*link != oldest)
		link = &(*link)->next;
	*link = oldest->next;
	for (int i = 0; i < MAX_KINDS; i++)
		if (kinds[i] != NULL)
			kinds[i]->forms[oldest->slot] = UNKNOWN;
	return oldest->slot;
}

static bool
same_bytes(const void *a, const void *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		   memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

static text *
copy_text(const text *value)
{
	return value == NULL ? NULL
						 : cstring_to_text_with_len(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

PolicyCall
policy_call_find(text *command, text *type, Jsonb *options)
{
	uint32 hash = hash_bytes((unsigned char *) VARDATA_ANY(command), VARSIZE_ANY_EXHDR(command)) +
				  VARSIZE_ANY(options);
	MemoryContext own;
	MemoryContext old;
	Call *call;
	bool check;
	int slot;

	/* anyone may call the functions that come here, with anything */
	if (VARSIZE_ANY(options) > MAX_OPTIONS_BYTES ||
		(type != NULL && VARSIZE_ANY_EXHDR(type) > MAX_TYPE_BYTES))
		return 0;
	/* runs several times a statement, so nothing is allocated on the way to a known call */
	if (type != NULL)
		hash = hash_combine(
			hash, hash_bytes((unsigned char *) VARDATA_ANY(type), VARSIZE_ANY_EXHDR(type)));
	for (call = buckets[hash % CALL_BUCKETS]; call != NULL; call = call->next)
	{
		if (call->hash == hash && same_bytes(call->command_text, command) &&
			same_bytes(call->type_text, type) && same_bytes(call->options, options))
		{
			call->last_used = ++use_counter;
			return call->slot + 1;
		}
	}

	/* whole before it is entered */
	own = AllocSetContextCreate(CurrentMemoryContext, "smart_fhir call", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(own);
	call = palloc0(sizeof(Call));
	call->context = own;
	call->hash = hash;
	call->command_text = copy_text(command);
	call->type_text = copy_text(type);
	call->options = palloc(VARSIZE(options));
	memcpy(call->options, options, VARSIZE(options));
	call->command = policy_command_parse(text_to_cstring(command), &check);
	call->folds = !check;
	policy_options(options, &call->table);
	call->type =
		type == NULL
			? -1
			: fhir_type_lookup(call->table.version, VARDATA_ANY(type), VARSIZE_ANY_EXHDR(type));
	call->known_type = type == NULL || call->type >= 0;
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(own, context());
	slot = make_room();
	if (calls[slot] != NULL)
		MemoryContextDelete(calls[slot]->context);
	call->slot = slot;
	call->last_used = ++use_counter;
	call->next = buckets[hash % CALL_BUCKETS];
	buckets[hash % CALL_BUCKETS] = call;
	calls[slot] = call;
	return slot + 1;
}

const AccessTable *
policy_call_table(PolicyCall number)
{
	Call *call = call_of(number);

	return call == NULL ? NULL : &call->table;
}

bool
policy_call_has_references(PolicyCall number)
{
	Call *call = call_of(number);

	return call != NULL && call->table.references;
}

/* The session's kind, when it has one that is still remembered. */
static Kind *
kind_of(const Session *session)
{
	Kind *kind = session->kind == 0 ? NULL : kinds[session->kind % MAX_KINDS];

	/* the leader's numbers mean nothing in a worker */
	if (kind == NULL || kind->id != session->kind || IsParallelWorker())
		return NULL;
	return kind;
}

static uint8
compute(const Call *call, const Session *session)
{
	AccessShape shape;
	PolicyForm form = POLICY_BY_ROW;
	const char *only;
	int n;

	/* the policy of a type that does not exist lets nothing pass */
	if (!call->known_type)
		return POLICY_ONE;
	/* by a setting, which is of no session's kind; protect() writes no such policy */
	if (call->table.shared == SHARED_DEFAULT && call->table.shared_types == NULL)
		return POLICY_BY_ROW;
	shape = access_shape(session, &call->table, call->type, call->command);
	n = access_count_patients(session, shape.levels, &only);
	switch (shape.kind)
	{
		case ACCESS_SHAPE_BY_ROW:
			form = POLICY_BY_ROW;
			break;
		case ACCESS_SHAPE_NOTHING:
			form = POLICY_ONE;
			break;
		case ACCESS_SHAPE_PATIENTS:
			form = n == 4	? POLICY_MANY
				   : n == 3 ? POLICY_DOZENS
				   : n == 2 ? POLICY_SEVERAL
							: POLICY_ONE;
			break;
		case ACCESS_SHAPE_WITHIN:
			/* the key of these is a patient of any level */
			n = access_count_patients(session, ACCESS_LEVELS_OF_PATIENTS, &only);
			form = n > 1 ? POLICY_SEVERAL_WITHIN : POLICY_ONE_WITHIN;
			break;
		case ACCESS_SHAPE_ALL:
			form = POLICY_ALL;
			break;
	}
	return form | shape.levels << 4;
}

PolicyForm
policy_call_form(PolicyCall number, const Session *session, int *levels)
{
	Call *call = call_of(number);
	Kind *kind;
	uint8 form;

	*levels = 0;
	if (call == NULL || !call->folds)
		return POLICY_BY_ROW;
	if (session == NULL)
		return POLICY_ONE;
	kind = kind_of(session);
	form = kind == NULL ? UNKNOWN : kind->forms[number - 1];
	if (form == UNKNOWN)
	{
		form = compute(call, session);
		if (kind != NULL)
			kind->forms[number - 1] = form;
	}
	*levels = form >> 4;
	return form & 15;
}

/* All of a session that access_shape() and the number of patients depend on. */
static void
describe(const Session *session, StringInfo out)
{
	const char *text;
	const char *only;

	appendBinaryStringInfo(out, (char *) session->reach, sizeof(session->reach));
	appendBinaryStringInfo(out, (char *) &session->interaction, sizeof(session->interaction));
	for (int levels = 1; levels <= ACCESS_LEVELS_OF_PATIENTS; levels++)
		appendStringInfoChar(out, access_count_patients(session, levels, &only));
	text = session_texts_first(session, session->bases);
	for (int i = 0; i < session->bases.n; i++, text = session_texts_next(text))
		appendBinaryStringInfo(out, text, strlen(text) + 1);
	appendStringInfoChar(out, '\0');
	text = session_text(session, session->grants);
	if (text != NULL)
		appendStringInfoString(out, text);
}

static Kind *
find_kind(const char *bytes, int len)
{
	uint32 hash = hash_bytes((const unsigned char *) bytes, len);
	Kind *kind;
	int slot = 0;

	for (int i = 0; i < MAX_KINDS; i++)
	{
		kind = kinds[i];
		if (kind != NULL && kind->id != 0 && kind->hash == hash && kind->len == len &&
			memcmp(kind->bytes, bytes, len) == 0)
		{
			kind->last_used = ++use_counter;
			return kind;
		}
	}
	for (int i = 0; i < MAX_KINDS && kinds[slot] != NULL; i++)
		if (kinds[i] == NULL || kinds[i]->last_used < kinds[slot]->last_used)
			slot = i;
	if (kinds[slot] == NULL)
		kinds[slot] = MemoryContextAllocZero(context(), sizeof(Kind));
	kind = kinds[slot];
	kind->id = 0;
	if (kind->bytes != NULL)
		pfree(kind->bytes);
	kind->bytes = NULL;
	kind->bytes = MemoryContextAlloc(context(), len);
	memcpy(kind->bytes, bytes, len);
	kind->len = len;
	kind->hash = hash;
	memset(kind->forms, UNKNOWN, sizeof(kind->forms));
	kind->last_used = ++use_counter;
	/* 2^26 kinds later the numbers run out, and what follows has none */
	if (last_kind < PG_UINT32_MAX / MAX_KINDS - 1)
		kind->id = ++last_kind * MAX_KINDS + slot;
	return kind;
}

/* Before a session comes into force: its kind. */
static void
session_prepare(Session *session)
{
	StringInfoData bytes;

	session->kind = 0;
	initStringInfo(&bytes);
	describe(session, &bytes);
	if (bytes.len <= MAX_KIND_BYTES)
		session->kind = find_kind(bytes.data, bytes.len)->id;
	pfree(bytes.data);
}

void
policy_forms_init(void)
{
	session_on_prepare(session_prepare);
}
