/*
 * src/doctor/columns.c
 *		smart_internal.policy_columns(): the columns that the policies of a table read.
 *
 * From the stored tree alone: the relation is not opened, so nobody's lock is waited for, and
 * nothing in the expressions is evaluated. Knows nothing of sessions.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/primnodes.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "access/sysattr.h"
#include "compat.h"
#include "policy/call.h"
#include "policy/stored.h"

PG_FUNCTION_INFO_V1(smart_policy_columns);

Datum
smart_policy_columns(PG_FUNCTION_ARGS)
{
	static const struct
	{
		int argument;
		const char *name;
	} args[] = {{POLICY_PATIENTS, "patients"},
				{POLICY_RESOURCE, "resource"},
				{POLICY_TYPE, "type"},
				{POLICY_ID, "id"}};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FuncExpr *call = policy_call_stored(PG_GETARG_OID(0));

	InitMaterializedSRF(fcinfo, 0);
	if (call == NULL)
		return (Datum) 0;
	for (size_t i = 0; i < lengthof(args); i++)
	{
		Bitmapset *columns = NULL;
		int column = -1;

		pull_varattnos(list_nth(call->args, args[i].argument), 1, &columns);
		while ((column = bms_next_member(columns, column)) >= 0)
		{
			Datum values[2] = {CStringGetTextDatum(args[i].name),
							   Int16GetDatum(column + FirstLowInvalidHeapAttributeNumber)};
			bool nulls[2] = {false, false};

			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
	}
	return (Datum) 0;
}
