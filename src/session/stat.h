/*
 * src/session/stat.h
 *		Counters of what the library did: smart.stat.
 */
#ifndef SMART_FHIR_SESSION_STAT_H
#define SMART_FHIR_SESSION_STAT_H

#include "port/atomics.h"

#include "jose/jose.h"

typedef enum StatCounter
{
	STAT_LOGINS,			 /* login() and assume() that put a session in force */
	STAT_CACHE_HITS,		 /* of those, tokens that were verified before */
	STAT_FORMS_PLANNED,		 /* policy calls that the planner gave a form of the session */
	STAT_PLANS_KEPT,		 /* plans for another form that were kept */
	STAT_PLANS_DROPPED,		 /* of those, dropped again: something changed, or room was needed */
	STAT_AUDIT_RECORDS,		 /* lines of the audit trail */
	STAT_INSUFFICIENT_SCOPE, /* refused.insufficient_scope: require() and what asks it */
	STAT_REFUSED, /* refused.<code>, one a status: logins, and statements of a session that has ended */
	STAT_N_COUNTERS = STAT_REFUSED + JOSE_N_STATUS
} StatCounter;

/* This backend's own until the library has shared memory. */
extern pg_atomic_uint64 *stat_counters;

static inline void
stat_count(StatCounter counter)
{
	pg_atomic_fetch_add_u64(&stat_counters[counter], 1);
}

static inline void
stat_count_refused(JoseStatus status)
{
	stat_count((StatCounter) (STAT_REFUSED + (int) status));
}

/* Once, when the library is loaded: counters to begin with, and shared memory where it is preloaded. */
extern void stat_init(void);

#endif /* SMART_FHIR_SESSION_STAT_H */
