/*
 * src/compat.h
 *		Every PostgreSQL version condition of the project, and what compilers differ in.
 *
 * Code is written to the newest API; what an older server lacks is made here.
 * No other file looks at PG_VERSION_NUM. Supported: PostgreSQL 15 to 19.
 */
#ifndef SMART_FHIR_COMPAT_H
#define SMART_FHIR_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "smart_fhir needs PostgreSQL 15 or newer"
#endif

/* 16: varlena accessors moved out of postgres.h */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 16: soft errors of input functions */
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#else
#define ereturn(context, dummy_value, ...)                                                         \
	do                                                                                             \
	{                                                                                              \
		(void) (context);                                                                          \
		ereport(ERROR, __VA_ARGS__);                                                               \
		return dummy_value;                                                                        \
	} while (0)
#define SOFT_ERROR_OCCURRED(escontext) (false)
#endif

/* 16: memory that a GUC check hook hands over is guc_malloc's */
#if PG_VERSION_NUM >= 160000
#define guc_extra_alloc(size) guc_malloc(LOG, (size))
#define guc_extra_free(ptr) guc_free(ptr)
#else
#define guc_extra_alloc(size) malloc(size)
#define guc_extra_free(ptr) free(ptr)
#endif

/* 16: one check function for the privileges of all kinds of objects */
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#if PG_VERSION_NUM >= 160000
#include "catalog/pg_proc.h"
#define compat_proc_aclcheck(oid)                                                                  \
	object_aclcheck(ProcedureRelationId, (oid), GetUserId(), ACL_EXECUTE)
#else
#define compat_proc_aclcheck(oid) pg_proc_aclcheck((oid), GetUserId(), ACL_EXECUTE)
#endif
static inline void
compat_check_execute(Oid function)
{
	AclResult result = compat_proc_aclcheck(function);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FUNCTION, get_func_name(function));
}

#if PG_VERSION_NUM >= 160000
#include "catalog/pg_class.h"
#define compat_is_owner(relid) object_ownercheck(RelationRelationId, (relid), GetUserId())
#else
#define compat_is_owner(relid) pg_class_ownercheck((relid), GetUserId())
#endif

/* 18: virtual generated columns, which a policy must not name but as their expression */
#if PG_VERSION_NUM >= 180000
#include "rewrite/rewriteHandler.h"
#define compat_expand_virtual_columns(expr, rel) expand_generated_columns_in_expr((expr), (rel), 1)
#else
#define compat_expand_virtual_columns(expr, rel) (expr)
#endif

/* 18: pg_noreturn, in front of the declaration, instead */
#ifndef pg_attribute_noreturn
#define pg_attribute_noreturn() __attribute__((noreturn))
#endif

/* 18: ExecutorRun and its hook lose execute_once */
#if PG_VERSION_NUM >= 180000
#define COMPAT_EXECUTE_ONCE_PARAM
#define COMPAT_EXECUTE_ONCE_ARG
#else
#define COMPAT_EXECUTE_ONCE_PARAM , bool execute_once
#define COMPAT_EXECUTE_ONCE_ARG , execute_once
#endif

/* 16: what a query needs of its relations is a list of its own beside the range table */
#if PG_VERSION_NUM >= 160000
#define COMPAT_CHECK_PERMS_PARAMS List *range_table, List *permissions, bool raise
#define COMPAT_CHECK_PERMS_ARGS range_table, permissions, raise
#else
#define COMPAT_CHECK_PERMS_PARAMS List *range_table, bool raise
#define COMPAT_CHECK_PERMS_ARGS range_table, raise
#endif

/* 18: what base64 decodes to is uint8 instead of char */
#include "common/base64.h"
#if PG_VERSION_NUM >= 180000
#define compat_b64_decode(source, len, out, out_len)                                               \
	pg_b64_decode((source), (len), (uint8 *) (out), (out_len))
#else
#define compat_b64_decode(source, len, out, out_len)                                               \
	pg_b64_decode((source), (len), (out), (out_len))
#endif

/* 18: index_beginscan() can count what it does; 19: it takes flags */
#if PG_VERSION_NUM >= 190000
#define compat_index_beginscan(heap, index, snapshot, nkeys, norderbys)                            \
	index_beginscan((heap), (index), (snapshot), NULL, (nkeys), (norderbys), 0)
#elif PG_VERSION_NUM >= 180000
#define compat_index_beginscan(heap, index, snapshot, nkeys, norderbys)                            \
	index_beginscan((heap), (index), (snapshot), NULL, (nkeys), (norderbys))
#else
#define compat_index_beginscan(heap, index, snapshot, nkeys, norderbys)                            \
	index_beginscan((heap), (index), (snapshot), (nkeys), (norderbys))
#endif

/* 19: table scans take flags, a deletion options in place of changing_part */
#if PG_VERSION_NUM >= 190000
#define compat_table_beginscan(rel, snapshot) table_beginscan((rel), (snapshot), 0, NULL, 0)
#define compat_table_index_fetch_begin(rel) table_index_fetch_begin((rel), 0)
#define compat_table_tuple_delete(rel, tid, cid, snapshot, wait, failure)                          \
	table_tuple_delete((rel), (tid), (cid), 0, (snapshot), InvalidSnapshot, (wait), (failure))
#else
#define compat_table_beginscan(rel, snapshot) table_beginscan((rel), (snapshot), 0, NULL)
#define compat_table_index_fetch_begin(rel) table_index_fetch_begin(rel)
#define compat_table_tuple_delete(rel, tid, cid, snapshot, wait, failure)                          \
	table_tuple_delete((rel), (tid), (cid), (snapshot), InvalidSnapshot, (wait), (failure), false)
#endif

/* 19: fetching by index takes flags */
#if PG_VERSION_NUM >= 190000
#define compat_table_index_fetch_begin(rel) table_index_fetch_begin((rel), 0)
#else
#define compat_table_index_fetch_begin(rel) table_index_fetch_begin(rel)
#endif

/* 19: these come with fewer other headers */
#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/tuplestore.h"

/* 18: connecting with an OAuth token */
#if PG_VERSION_NUM >= 180000
#define COMPAT_HAS_OAUTH
#endif

/* 19: the state of a query's normalization is read-only for hooks */
#if PG_VERSION_NUM >= 190000
#define COMPAT_JUMBLE_STATE const JumbleState
#else
#define COMPAT_JUMBLE_STATE JumbleState
#endif

/* 19: the planner and its hook are told of the EXPLAIN that they plan for */
#if PG_VERSION_NUM >= 190000
#include "commands/explain_state.h"
#define COMPAT_EXPLAIN_PARAM , ExplainState *explain
#define COMPAT_EXPLAIN_ARG , explain
#define compat_planner(query, query_string, options)                                               \
	planner((query), (query_string), (options), NULL, NULL)
#else
#define COMPAT_EXPLAIN_PARAM
#define COMPAT_EXPLAIN_ARG
#define compat_planner(query, query_string, options)                                               \
	planner((query), (query_string), (options), NULL)
#endif

/* 19: a plan's target relations are a set instead of a list */
#include "nodes/plannodes.h"
static inline bool
compat_is_result_relation(const PlannedStmt *plan, int rti)
{
#if PG_VERSION_NUM >= 190000
	return bms_is_member(rti, plan->resultRelationRelids);
#else
	return list_member_int(plan->resultRelations, rti);
#endif
}

/* 19: pushJsonbValue() has a state that keeps the finished value, instead of returning it */
#include "utils/jsonb.h"
#if PG_VERSION_NUM < 190000
typedef struct JsonbInState
{
	JsonbValue *result; /* NULL until complete */
	JsonbParseState *parseState;
} JsonbInState;

static inline void
compat_push_jsonb_value(JsonbInState *state, JsonbIteratorToken token, JsonbValue *value)
{
	state->result = pushJsonbValue(&state->parseState, token, value);
}
#define pushJsonbValue(state, token, value) compat_push_jsonb_value(state, token, value)
#endif

/* 18: bitmap scans take a place for instrumentation; bitmaps are gone through otherwise */
#include "access/genam.h"
#include "nodes/tidbitmap.h"
#if PG_VERSION_NUM >= 180000
#define compat_index_beginscan_bitmap(index, snapshot, nkeys)                                      \
	index_beginscan_bitmap((index), (snapshot), NULL, (nkeys))
#define COMPAT_TBM_MAX_OFFSETS TBM_MAX_TUPLES_PER_PAGE
#else
#include "access/htup_details.h"
#define compat_index_beginscan_bitmap(index, snapshot, nkeys)                                      \
	index_beginscan_bitmap((index), (snapshot), (nkeys))
#define COMPAT_TBM_MAX_OFFSETS MaxHeapTuplesPerPage
#endif
typedef struct CompatTBMIterator
{
#if PG_VERSION_NUM >= 180000
	TBMPrivateIterator *iterator;
#else
	TBMIterator *iterator;
#endif
} CompatTBMIterator;
static inline void
compat_tbm_begin(CompatTBMIterator *at, TIDBitmap *bitmap)
{
#if PG_VERSION_NUM >= 180000
	at->iterator = tbm_begin_private_iterate(bitmap);
#else
	at->iterator = tbm_begin_iterate(bitmap);
#endif
}
/* The next page; *n -1: any of its rows. */
static inline bool
compat_tbm_next(CompatTBMIterator *at, BlockNumber *block, OffsetNumber *offsets, int *n)
{
#if PG_VERSION_NUM >= 180000
	TBMIterateResult result;

	if (!tbm_private_iterate(at->iterator, &result))
		return false;
	*block = result.blockno;
	*n = result.lossy ? -1 : tbm_extract_page_tuple(&result, offsets, COMPAT_TBM_MAX_OFFSETS);
#else
	TBMIterateResult *result = tbm_iterate(at->iterator);

	if (result == NULL)
		return false;
	*block = result->blockno;
	*n = result->ntuples;
	if (*n > 0)
		memcpy(offsets, result->offsets, sizeof(OffsetNumber) * *n);
#endif
	return true;
}
static inline void
compat_tbm_end(CompatTBMIterator *at)
{
#if PG_VERSION_NUM >= 180000
	tbm_end_private_iterate(at->iterator);
#else
	tbm_end_iterate(at->iterator);
#endif
}

/* 19: what is counted of a node is a type of its own */
#include "executor/instrument.h"
#if PG_VERSION_NUM >= 190000
typedef NodeInstrumentation CompatInstrumentation;
#define compat_instrument_rows() InstrAllocNode(INSTRUMENT_ROWS, false)
#else
typedef Instrumentation CompatInstrumentation;
#define compat_instrument_rows() InstrAlloc(1, INSTRUMENT_ROWS, false)
#endif

/* 16: one setting is found by its name */
#include "utils/guc_tables.h"
static inline const struct config_generic *
compat_find_setting(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return find_option(name, false, true, DEBUG5);
#else
	struct config_generic **settings = get_guc_variables();

	for (int i = 0; i < GetNumConfigOptions(); i++)
		if (strcmp(settings[i]->name, name) == 0)
			return settings[i];
	return NULL;
#endif
}

/* A hint to the processor; any address will do. */
#ifdef __GNUC__
#define compat_prefetch(address) __builtin_prefetch(address)
#else
#define compat_prefetch(address) ((void) (address))
#endif

#endif /* SMART_FHIR_COMPAT_H */
