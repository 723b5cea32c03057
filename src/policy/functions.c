/*
 * src/policy/functions.c
 *		What smart.protect() and smart.protected_table ask of C.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/parsenodes.h"
#include "tcop/deparse_utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include "access/access.h"
#include "access/settings.h"
#include "compat.h"
#include "policy/policy.h"

PG_FUNCTION_INFO_V1(smart_policy_info);
PG_FUNCTION_INFO_V1(smart_is_fhir_type);
PG_FUNCTION_INFO_V1(smart_in_compartment);
PG_FUNCTION_INFO_V1(smart_has_one_subject);
PG_FUNCTION_INFO_V1(smart_type_is_shared);
PG_FUNCTION_INFO_V1(smart_shared_types);
PG_FUNCTION_INFO_V1(smart_is_policy_call);
PG_FUNCTION_INFO_V1(smart_attaches_partition);
PG_FUNCTION_INFO_V1(smart_default_compartment);

Datum
smart_policy_info(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	Relation rel = try_relation_open(relid, AccessShareLock);
	TupleDesc desc;
	Datum values[6] = {0};
	bool nulls[6] = {true, true, true, true, true, true};
	FuncExpr *call = rel ? policy_call_stored(relid) : NULL;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "smart_internal.policy_info() has an unexpected result type");
	if (call != NULL)
	{
		static const int args[] = {POLICY_RESOURCE, POLICY_PATIENTS, POLICY_TYPE, POLICY_ID};
		List *context = deparse_context_for(RelationGetRelationName(rel), relid);
		Const *type = list_nth(call->args, POLICY_TYPE);
		Const *options = list_nth(call->args, POLICY_OPTIONS);

		if (IsA(type, Const) && !type->constisnull)
		{
			values[0] = type->constvalue;
			nulls[0] = false;
		}
		for (size_t i = 0; i < lengthof(args); i++)
		{
			values[i + 1] = CStringGetTextDatum(
				deparse_expression(list_nth(call->args, args[i]), context, false, false));
			nulls[i + 1] = false;
		}
		if (IsA(options, Const) && !options->constisnull)
		{
			values[5] = options->constvalue;
			nulls[5] = false;
		}
	}
	{
		HeapTuple tuple = heap_form_tuple(BlessTupleDesc(desc), values, nulls);

		if (rel)
			relation_close(rel, AccessShareLock);
		PG_RETURN_DATUM(HeapTupleGetDatum(tuple));
	}
}

static FhirVersion
version_arg(FunctionCallInfo fcinfo, int arg)
{
	FhirVersion version;

	if (!fhir_version_parse(text_to_cstring(PG_GETARG_TEXT_PP(arg)), &version))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid value for parameter \"%s\"", "fhir_version"),
				errhint("Valid values are R4, R4B and R5."),
				err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
				err_generic_string(PG_DIAG_CONSTRAINT_NAME, "invalid_parameter"));
	return version;
}

static int
type_args(FunctionCallInfo fcinfo, FhirVersion *version)
{
	text *name = PG_GETARG_TEXT_PP(0);

	*version = version_arg(fcinfo, 1);
	return fhir_type_lookup(*version, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
}

Datum
smart_is_fhir_type(PG_FUNCTION_ARGS)
{
	FhirVersion version;

	PG_RETURN_BOOL(type_args(fcinfo, &version) >= 0);
}

Datum
smart_in_compartment(PG_FUNCTION_ARGS)
{
	FhirVersion version;
	int type = type_args(fcinfo, &version);

	PG_RETURN_BOOL(type >= 0 && fhir_type_in_compartment(version, type));
}

Datum
smart_has_one_subject(PG_FUNCTION_ARGS)
{
	FhirVersion version;
	int type = type_args(fcinfo, &version);

	PG_RETURN_BOOL(type >= 0 && fhir_type_has_one_subject(version, type));
}

Datum
smart_type_is_shared(PG_FUNCTION_ARGS)
{
	text *name = PG_GETARG_TEXT_PP(0);

	PG_RETURN_BOOL(access_type_is_shared(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)));
}

Datum
smart_default_compartment(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(access_default_reading() == FHIR_FULL ? "full" : "subject"));
}

Datum
smart_shared_types(PG_FUNCTION_ARGS)
{
	Datum names[1024];
	int n = 0;

	for (const char *at = access_shared_types(); *at && n < (int) lengthof(names);
		 at += strlen(at) + 1)
		names[n++] = CStringGetTextDatum(at);
	PG_RETURN_ARRAYTYPE_P(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

Datum
smart_is_policy_call(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(policy_is_call(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

Datum
smart_attaches_partition(PG_FUNCTION_ARGS)
{
	CollectedCommand *command = (CollectedCommand *) PG_GETARG_POINTER(0);
	ListCell *cell;

	if (command->type != SCT_AlterTable)
		PG_RETURN_BOOL(false);
	foreach(cell, command->d.alterTable.subcmds)
	{
		Node *parsetree = ((CollectedATSubcmd *) lfirst(cell))->parsetree;

		if (IsA(parsetree, AlterTableCmd) &&
			((AlterTableCmd *) parsetree)->subtype == AT_AttachPartition)
			PG_RETURN_BOOL(true);
	}
	PG_RETURN_BOOL(false);
}
