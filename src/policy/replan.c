/*
 * src/policy/replan.c
 *		Plans for other forms than a kept plan was made for. See src/policy/replan.h.
 *
 * A prepared statement, or one of a function, keeps one plan, made under some session. Where a call has
 * another form under the session of the moment, the statement starts with another plan of the same
 * query. Such plans are kept: a connection that serves a patient and a backend in turn plans for
 * each once. They are found by the number of the query, which is another one whenever
 * PostgreSQL has made the kept plan anew, and by the forms; they go when PostgreSQL says that something
 * they rest on has changed, or when others need the room.
 *
 * A plan that lies where it was made may be that of an SQL function, which PostgreSQL 15 to 17 make
 * for each call: there the second time makes it one that is kept.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "lib/ilist.h"
#include "optimizer/optimizer.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "policy/kept_query.h"
#include "policy/marks.h"
#include "policy/replan.h"
#include "session/stat.h"

#define MAX_PLANS 1024
#define MAX_BYTES (2 * 1024 * 1024)
/* Numbers of queries that were asked for once. */
#define N_ONCE 4096

typedef struct ReplanKey
{
	uint64 id;
	uint32 forms;
	uint32 backward;
} ReplanKey;

struct Replanned
{
	dlist_node node; /* in order of use, while it is kept */
	ReplanKey key;
	MemoryContext context;
	PlannedStmt *plan;
	Size size;
	int users;
	bool kept;
	bool valid;
};

typedef struct KeptPlan
{
	ReplanKey key;
	Replanned *replanned;
} KeptPlan;

static HTAB *kept_plans = NULL;
static dlist_head by_use = DLIST_STATIC_INIT(by_use);
static int n_kept = 0;
static Size kept_bytes = 0;
static uint64 once[N_ONCE];
static const Query *under_way = NULL;

/* ---- what is kept ---- */

static void
forget(Replanned *replanned)
{
	stat_count(STAT_PLANS_DROPPED);
	(void) hash_search(kept_plans, &replanned->key, HASH_REMOVE, NULL);
	dlist_delete(&replanned->node);
	n_kept--;
	kept_bytes -= replanned->size;
	replanned->kept = false;
	if (replanned->users == 0)
		MemoryContextDelete(replanned->context);
}

static void
relation_changed(Datum arg, Oid relid)
{
	dlist_iter iter;

	dlist_foreach(iter, &by_use)
	{
		Replanned *replanned = dlist_container(Replanned, node, iter.cur);

		if (!OidIsValid(relid) || list_member_oid(replanned->plan->relationOids, relid))
			replanned->valid = false;
	}
}

/* A function or a type. */
static void
object_changed(Datum arg, int cache_id, uint32 hash_value)
{
	dlist_iter iter;

	dlist_foreach(iter, &by_use)
	{
		Replanned *replanned = dlist_container(Replanned, node, iter.cur);
		ListCell *cell;

		foreach(cell, replanned->plan->invalItems)
		{
			PlanInvalItem *item = lfirst_node(PlanInvalItem, cell);

			if (item->cacheId == cache_id && (hash_value == 0 || item->hashValue == hash_value))
				replanned->valid = false;
		}
	}
}

/* Whatever PostgreSQL throws all plans away for. */
static void
anything_changed(Datum arg, int cache_id, uint32 hash_value)
{
	relation_changed((Datum) 0, InvalidOid);
}

static void
make_table(void)
{
	static const int others[] = {
		NAMESPACEOID, OPEROID, AMOPOPID, FOREIGNSERVEROID, FOREIGNDATAWRAPPEROID};
	HASHCTL control = {.keysize = sizeof(ReplanKey), .entrysize = sizeof(KeptPlan)};

	kept_plans = hash_create("smart_fhir kept plans", 64, &control, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, object_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, object_changed, (Datum) 0);
	for (size_t i = 0; i < lengthof(others); i++)
		CacheRegisterSyscacheCallback(others[i], anything_changed, (Datum) 0);
}

/* Throw out what was used longest ago, until there is room. */
static void
make_room(Size size)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &by_use)
	{
		Replanned *oldest = dlist_container(Replanned, node, iter.cur);

		if (n_kept < MAX_PLANS && kept_bytes + size <= MAX_BYTES)
			break;
		forget(oldest);
	}
}

static void
keep(Replanned *replanned)
{
	KeptPlan *entry;
	bool found;

	if (replanned->size > MAX_BYTES / 4)
		return;
	entry = hash_search(kept_plans, &replanned->key, HASH_FIND, NULL);
	if (entry != NULL)
		forget(entry->replanned);
	make_room(replanned->size);
	entry = hash_search(kept_plans, &replanned->key, HASH_ENTER, &found);
	entry->replanned = replanned;
	dlist_push_tail(&by_use, &replanned->node);
	n_kept++;
	kept_bytes += replanned->size;
	replanned->kept = true;
	stat_count(STAT_PLANS_KEPT);
}

static Replanned *
find(const ReplanKey *key, Snapshot snapshot)
{
	KeptPlan *entry = hash_search(kept_plans, key, HASH_FIND, NULL);
	Replanned *replanned = entry == NULL ? NULL : entry->replanned;

	if (replanned == NULL)
		return NULL;
	if (!replanned->valid || marks_check(marks_of(replanned->plan), snapshot) != PLAN_FITS)
	{
		forget(replanned);
		return NULL;
	}
	dlist_delete(&replanned->node);
	dlist_push_tail(&by_use, &replanned->node);
	return replanned;
}

/* ---- the planning ---- */

bool
replan_is_of(const Query *parse)
{
	return parse == under_way;
}

static PlannedStmt *
plan_query(const PlanMarks *marks, const char *query_string, bool backward)
{
	const Query *outer = under_way;
	Query *query = kept_query_copy(marks_query(marks));
	int options = marks_cursor_options(marks);
	PlannedStmt *volatile plan = NULL;
	bool snapshot = !ActiveSnapshotSet();

	if (query == NULL)
	{
		/* gone after all: the next attempt finds a plan that is made for it */
		ResetPlanCache();
		return NULL;
	}
	if (snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	PG_TRY();
	{
		under_way = query;
		plan =
			compat_planner(query, query_string, backward ? options | CURSOR_OPT_SCROLL : options);
	}
	PG_FINALLY();
	{
		under_way = outer;
	}
	PG_END_TRY();
	if (snapshot)
		PopActiveSnapshot();
	return plan;
}

static Replanned *
copy_in(MemoryContext context, const ReplanKey *key, PlannedStmt *plan)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Replanned *replanned = palloc0(sizeof(Replanned));

	replanned->key = *key;
	replanned->context = context;
	replanned->plan = copyObject(plan);
	replanned->valid = true;
	MemoryContextSwitchTo(old);
	return replanned;
}

/* A copy in memory of its own, which is no larger than it: first it is seen how large that is. */
static Replanned *
copy_tightly(MemoryContext parent, const ReplanKey *key, PlannedStmt *plan)
{
	MemoryContext probe =
		GenerationContextCreate(CurrentMemoryContext, "smart_fhir plan", 0, 8192, 8192);
	MemoryContextCounters counters = {0};
	Replanned *replanned;
	Size size;

	(void) copy_in(probe, key, plan);
	probe->methods->stats(probe, NULL, NULL, &counters, false);
	size = MAXALIGN(Max(counters.totalspace - counters.freespace, 1024));
	replanned = copy_in(
		GenerationContextCreate(parent, "smart_fhir plan", size, 1024, Max(size, 8192)), key, plan);
	replanned->size = MemoryContextMemAllocated(replanned->context, true);
	return replanned;
}

/* Whole before it is entered anywhere. */
static Replanned *
make(const PlanMarks *marks, const ReplanKey *key, const char *query_string, Snapshot snapshot)
{
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "smart_fhir planning", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	PlannedStmt *plan = plan_query(marks, query_string, key->backward);
	PlanMarks *made = plan == NULL ? NULL : marks_of(plan);
	Replanned *replanned = NULL;

	if (made != NULL && marks_check(made, snapshot) == PLAN_FITS)
		replanned = copy_tightly(old, key, plan);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	return replanned;
}

Replanned *
replan(const PlanMarks *marks, const char *query_string, bool backward, Snapshot snapshot)
{
	ReplanKey key = {marks_query(marks), marks_forms_hash(marks), backward};
	Replanned *replanned;
	uint64 *seen = &once[key.id % N_ONCE];

	if (key.id == 0)
		return NULL;
	if (kept_plans == NULL)
		make_table();
	replanned = find(&key, snapshot);
	if (replanned == NULL)
	{
		replanned = make(marks, &key, query_string, snapshot);
		if (replanned == NULL)
			return NULL;
		/* such a plan rests on indexes that an older snapshot cannot use */
		if ((kept_query_is_held(key.id) || *seen == key.id) && !replanned->plan->transientPlan)
			keep(replanned);
		*seen = key.id;
		MemoryContextSetParent(replanned->context, TopMemoryContext);
	}
	replanned->users++;
	return replanned;
}

PlannedStmt *
replan_plan(Replanned *replanned)
{
	return replanned->plan;
}

void
replan_release(Replanned *replanned)
{
	if (--replanned->users == 0 && !replanned->kept)
		MemoryContextDelete(replanned->context);
}
