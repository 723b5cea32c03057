/*
 * src/policy/leakproof.c
 *		The operator jsonb @>> jsonb: jsonb's @>, declared LEAKPROOF.
 *
 * Under a policy that leaves a condition, PostgreSQL runs a user's operator on a row only after
 * the policy, unless the operator is leakproof: @> then cannot use its index. jsonb_contains()
 * may be trusted with hidden rows: it returns a boolean, and its only errors are of damaged data
 * and of a stack that is too small, which a value that could be parsed does not meet: parsing
 * takes more stack for each level than comparing.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/fmgrprotos.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(smart_jsonb_contains);

Datum
smart_jsonb_contains(PG_FUNCTION_ARGS)
{
	return jsonb_contains(fcinfo);
}
