/*
 * src/session/stat.c
 *		Counters of what the library did, for the whole cluster or for one backend.
 *
 * In shared memory where the library is in shared_preload_libraries, and then of every database; else
 * each backend has its own. They say how often, never who or what: no text of a token, a statement or a
 * row comes here. Nothing is written to disk: they begin with the server, or the backend.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"

#include "compat.h"
#include "session/stat.h"

PG_FUNCTION_INFO_V1(smart_stat);
PG_FUNCTION_INFO_V1(smart_stat_reset);

static pg_atomic_uint64 own_counters[STAT_N_COUNTERS];
pg_atomic_uint64 *stat_counters = own_counters;

static shmem_request_hook_type next_shmem_request_hook = NULL;
static shmem_startup_hook_type next_shmem_startup_hook = NULL;

static const char *const names[] = {
	[STAT_LOGINS] = "logins",
	[STAT_CACHE_HITS] = "cache_hits",
	[STAT_FORMS_PLANNED] = "forms_planned",
	[STAT_PLANS_KEPT] = "plans_kept",
	[STAT_PLANS_DROPPED] = "plans_dropped",
	[STAT_AUDIT_RECORDS] = "audit_records",
	[STAT_INSUFFICIENT_SCOPE] = "refused.insufficient_scope",
};

static void
request_memory(void)
{
	if (next_shmem_request_hook)
		next_shmem_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(own_counters)));
}

static void
find_memory(void)
{
	pg_atomic_uint64 *shared;
	bool found;

	if (next_shmem_startup_hook)
		next_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("smart_fhir statistics", sizeof(own_counters), &found);
	if (!found)
	{
		for (int i = 0; i < STAT_N_COUNTERS; i++)
			pg_atomic_init_u64(&shared[i], 0);
	}
	LWLockRelease(AddinShmemInitLock);
	stat_counters = shared;
}

void
stat_init(void)
{
	for (int i = 0; i < STAT_N_COUNTERS; i++)
		pg_atomic_init_u64(&own_counters[i], 0);
	if (!process_shared_preload_libraries_in_progress)
		return;
	next_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	next_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = find_memory;
}

/* smart_internal.stat() -> setof (name text, value bigint) */
Datum
smart_stat(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < STAT_N_COUNTERS; i++)
	{
		const char *name;
		bool nulls[2] = {false, false};
		Datum values[2];

		if (i == STAT_REFUSED + JOSE_OK)
			continue;
		name = i < STAT_REFUSED
				   ? names[i]
				   : psprintf("refused.%s", jose_status_code((JoseStatus) (i - STAT_REFUSED)));
		values[0] = CStringGetTextDatum(name);
		values[1] = Int64GetDatum((int64) pg_atomic_read_u64(&stat_counters[i]));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* smart.stat_reset() -> void */
Datum
smart_stat_reset(PG_FUNCTION_ARGS)
{
	for (int i = 0; i < STAT_N_COUNTERS; i++)
		pg_atomic_write_u64(&stat_counters[i], 0);
	PG_RETURN_VOID();
}
