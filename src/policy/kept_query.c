/*
 * src/policy/kept_query.c
 *		Queries of plans, kept for as long as their plans may be run. See src/policy/kept_query.h.
 *
 * A plan that does not fit the session of the moment is planned again, so its query must be at hand. It
 * is many times as large as the rest of what a plan says of itself, and PostgreSQL's plan
 * cache copies plans with all that hangs on them; so a plan has its query's number only.
 *
 * Nobody tells when the plan cache takes a copy of a plan. But a plan starts where it lies: in the
 * memory in which it was made, or in that of its copy, and the end of that memory is told. So
 * a query is held by the memory in which it was planned, and by that of each plan of it that has started.
 * When the last of them ends, a copy that was never started may still lie in the plan cache: then
 * the query waits among the last few of its kind.
 *
 * A backend with hundreds of kept statements has hundreds of queries: beyond some hundred kilobytes they are
 * kept as compressed text.
 */
#include "postgres.h"

#include "common/pg_lzcompress.h"
#include "lib/ilist.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "compat.h"
#include "policy/kept_query.h"

/* Bytes of trees of held queries; what comes after is compressed. */
#define MAX_TREE_BYTES (256 * 1024)
#define MAX_WAITING 64
/* What PostgreSQL calls the memory of a plan that it keeps: with it the copy is gone. */
#define PLAN_CACHE_NAME "CachedPlan"

typedef struct KeptQuery
{
	uint64 id;				/* key */
	MemoryContext planning; /* in which it is planned; NULL when that has ended */
	int holders;			/* memory contexts, that one too */
	bool held;				/* by another, too */
	bool planned_to_run;	/* started where it was planned: there is no copy of the plan */
	bool waiting;
	dlist_node node; /* while it waits */
	/* one of both */
	MemoryContext context; /* of the tree, and nothing else in it */
	Query *tree;
	char *text;
	/* what the text does not say, and its sizes */
	uint64 query_id;
	int text_size;
	int node_string_size;
	Size tree_size; /* counted in tree_bytes; 0: not counted */
} KeptQuery;

/* In the memory that holds a query. */
typedef struct Holder
{
	MemoryContextCallback callback;
	uint64 id;
	MemoryContext context;
} Holder;

static HTAB *queries = NULL;
static MemoryContext texts = NULL;
static uint64 last_id = 0;
static Size tree_bytes = 0;
static dlist_head waiting = DLIST_STATIC_INIT(waiting);
static int n_waiting = 0;

static KeptQuery *
find(uint64 id)
{
	return id == 0 || queries == NULL ? NULL : hash_search(queries, &id, HASH_FIND, NULL);
}

static void
drop_tree(KeptQuery *kept)
{
	tree_bytes -= kept->tree_size;
	kept->tree_size = 0;
	if (kept->context != NULL)
		MemoryContextDelete(kept->context);
	kept->context = NULL;
	kept->tree = NULL;
}

static void
forget(KeptQuery *kept)
{
	if (kept->waiting)
	{
		dlist_delete(&kept->node);
		n_waiting--;
	}
	drop_tree(kept);
	if (kept->text != NULL)
		pfree(kept->text);
	(void) hash_search(queries, &kept->id, HASH_REMOVE, NULL);
}

/* Runs while memory is reset: nothing is allocated here, and nothing fails. */
static void
holder_ends(void *arg)
{
	const Holder *holder = arg;
	KeptQuery *kept = find(holder->id);

	if (kept == NULL)
		return;
	if (kept->planning == holder->context)
		kept->planning = NULL;
	if (--kept->holders > 0)
		return;
	if (kept->planned_to_run || strcmp(holder->context->name, PLAN_CACHE_NAME) == 0)
	{
		forget(kept);
		return;
	}
	kept->waiting = true;
	dlist_push_tail(&waiting, &kept->node);
	n_waiting++;
	if (n_waiting > MAX_WAITING)
		forget(dlist_head_element(KeptQuery, node, &waiting));
}

static Holder *
make_holder(MemoryContext context)
{
	Holder *holder = MemoryContextAlloc(context, sizeof(Holder));

	holder->callback.func = holder_ends;
	holder->callback.arg = holder;
	holder->context = context;
	return holder;
}

/* From now on its context holds the query. */
static void
hold(KeptQuery *kept, Holder *holder)
{
	holder->id = kept->id;
	MemoryContextRegisterResetCallback(holder->context, &holder->callback);
	kept->holders++;
	if (kept->waiting)
	{
		dlist_delete(&kept->node);
		n_waiting--;
		kept->waiting = false;
	}
}

uint64
kept_query_make(Query *query)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "smart_fhir query", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Query *tree = copyObject(query);
	Holder *holder = make_holder(old);
	KeptQuery *kept;
	uint64 id;

	MemoryContextSwitchTo(old);
	if (queries == NULL)
	{
		HASHCTL control = {.keysize = sizeof(uint64), .entrysize = sizeof(KeptQuery)};

		texts =
			AllocSetContextCreate(TopMemoryContext, "smart_fhir queries", ALLOCSET_DEFAULT_SIZES);
		queries = hash_create("smart_fhir kept queries", 64, &control, HASH_ELEM | HASH_BLOBS);
	}
	id = last_id + 1;
	kept = hash_search(queries, &id, HASH_ENTER, NULL);
	last_id = id;
	memset((char *) kept + sizeof(uint64), 0, sizeof(KeptQuery) - sizeof(uint64));
	kept->planning = CurrentMemoryContext;
	kept->context = context;
	kept->tree = tree;
	kept->query_id = query->queryId;
	MemoryContextSetParent(context, TopMemoryContext);
	hold(kept, holder);
	return id;
}

void
kept_query_drop(uint64 id)
{
	KeptQuery *kept = find(id);

	if (kept != NULL)
		forget(kept);
}

/* The tree as compressed text, when that is shorter. */
static void
compress(KeptQuery *kept)
{
	char *string = nodeToString(kept->tree);
	int size = strlen(string) + 1;
	char *buffer = palloc(PGLZ_MAX_OUTPUT(size));
	int compressed = pglz_compress(string, size, buffer, PGLZ_strategy_always);
	char *text;

	if (compressed > 0)
	{
		text = MemoryContextAlloc(texts, compressed);
		memcpy(text, buffer, compressed);
		drop_tree(kept);
		kept->text = text;
		kept->text_size = compressed;
		kept->node_string_size = size;
	}
	pfree(buffer);
	pfree(string);
}

void
kept_query_hold(uint64 id, void *plan)
{
	KeptQuery *kept = find(id);
	MemoryContext context = GetMemoryChunkContext(plan);

	if (kept == NULL)
		return;
	if (context == kept->planning)
	{
		kept->planned_to_run = true;
		return;
	}
	hold(kept, make_holder(context));
	kept->held = true;
	if (kept->tree == NULL || kept->tree_size > 0)
		return;
	kept->tree_size = MemoryContextMemAllocated(kept->context, true);
	tree_bytes += kept->tree_size;
	if (tree_bytes > MAX_TREE_BYTES)
		compress(kept);
}

Query *
kept_query_copy(uint64 id)
{
	KeptQuery *kept = find(id);
	Query *query;
	char *string;

	if (kept == NULL)
		return NULL;
	if (kept->tree != NULL)
		return copyObject(kept->tree);
	string = palloc(kept->node_string_size);
	if (pglz_decompress(kept->text, kept->text_size, string, kept->node_string_size, true) !=
		kept->node_string_size)
		elog(ERROR, "a kept query cannot be read");
	query = stringToNode(string);
	query->queryId = kept->query_id;
	pfree(string);
	return query;
}

bool
kept_query_is_held(uint64 id)
{
	KeptQuery *kept = find(id);

	return kept != NULL && kept->held;
}
