/*
 * src/compat.h
 *		Every PostgreSQL version condition of the project.
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

#endif /* SMART_FHIR_COMPAT_H */
