/*
 * src/compat.h
 *		Every PostgreSQL version condition of the project, and what compilers differ in.
 *
 * Code is written to the newest API; what an older server lacks is made here.
 * No other file looks at PG_VERSION_NUM. Supported: PostgreSQL 15 to 18.
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

/* 18: index_beginscan() can count what it does */
#if PG_VERSION_NUM >= 180000
#define compat_index_beginscan(heap, index, snapshot, nkeys, norderbys)                            \
	index_beginscan((heap), (index), (snapshot), NULL, (nkeys), (norderbys))
#else
#define compat_index_beginscan(heap, index, snapshot, nkeys, norderbys)                            \
	index_beginscan((heap), (index), (snapshot), (nkeys), (norderbys))
#endif

/* A hint to the processor; any address will do. */
#ifdef __GNUC__
#define compat_prefetch(address) __builtin_prefetch(address)
#else
#define compat_prefetch(address) ((void) (address))
#endif

#endif /* SMART_FHIR_COMPAT_H */
