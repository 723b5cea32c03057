/*
 * src/policy/functions.c
 *		What smart.protect() and smart.protected_table ask of C.
 */
#include "postgres.h"

#include <ctype.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/parsenodes.h"
#include "tcop/deparse_utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "access/access.h"
#include "access/settings.h"
#include "compat.h"
#include "policy/call.h"
#include "policy/deparse.h"
#include "policy/stored.h"

PG_FUNCTION_INFO_V1(smart_protect_error);
PG_FUNCTION_INFO_V1(smart_policy_info);
PG_FUNCTION_INFO_V1(smart_is_fhir_type);
PG_FUNCTION_INFO_V1(smart_type_of_name);
PG_FUNCTION_INFO_V1(smart_in_compartment);
PG_FUNCTION_INFO_V1(smart_has_one_subject);
PG_FUNCTION_INFO_V1(smart_type_is_shared);
PG_FUNCTION_INFO_V1(smart_shared_types);
PG_FUNCTION_INFO_V1(smart_own_policies);
PG_FUNCTION_INFO_V1(smart_attaches_partition);
PG_FUNCTION_INFO_V1(smart_default_compartment);

/* smart_internal.protect_error(state, message, detail, hint text): the last two may be NULL */
Datum
smart_protect_error(PG_FUNCTION_ARGS)
{
	char *texts[4];

	for (int i = 0; i < (int) lengthof(texts); i++)
		texts[i] = PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
	if (texts[0] == NULL || texts[1] == NULL || strlen(texts[0]) != 5 ||
		strspn(texts[0], "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5 || texts[0][0] == '0')
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("an error needs an SQLSTATE and a message"));
	ereport(ERROR,
			errcode(MAKE_SQLSTATE(texts[0][0], texts[0][1], texts[0][2], texts[0][3], texts[0][4])),
			errmsg_internal("%s", texts[1]),
			texts[2] != NULL ? errdetail_internal("%s", texts[2]) : 0,
			texts[3] != NULL ? errhint("%s", texts[3]) : 0,
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "protect"));
	PG_RETURN_VOID();
}

/* smart_internal.policy_info(relation regclass): all NULL for another relation */
Datum
smart_policy_info(PG_FUNCTION_ARGS)
{
	static const int args[] = {
		POLICY_RESOURCE, POLICY_PATIENTS, POLICY_TYPE, POLICY_ID, POLICY_ORDER};
	Oid relid = PG_GETARG_OID(0);
	StoredPolicies stored;
	TupleDesc desc;
	Datum values[7] = {0};
	bool nulls[7] = {true, true, true, true, true, true, true};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "smart_internal.policy_info() has an unexpected result type");
	stored_policies(relid, &stored);
	if (stored.call != NULL)
	{
		Const *type = stored_constant(stored.call, POLICY_TYPE, TEXTOID);

		if (type != NULL)
		{
			values[0] = type->constvalue;
			nulls[0] = false;
		}
		for (size_t i = 0; i < lengthof(args); i++)
		{
			char *text = args[i] < list_length(stored.call->args)
							 ? deparse_over_relation(relid, list_nth(stored.call->args, args[i]))
							 : NULL;

			if (text != NULL)
			{
				values[i + 1] = CStringGetTextDatum(text);
				nulls[i + 1] = false;
			}
		}
	}
	if (stored.options != NULL)
	{
		values[6] = JsonbPGetDatum(stored.options);
		nulls[6] = false;
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* smart_internal.own_policies(relation oid) -> text[]: names of those that are as protect() writes them; NULL for a table without ours */
Datum
smart_own_policies(PG_FUNCTION_ARGS)
{
	StoredPolicies stored;
	Datum names[N_OWN_POLICIES];
	int n = 0;

	stored_policies(PG_GETARG_OID(0), &stored);
	if (stored.call == NULL)
		PG_RETURN_NULL();
	for (int i = 0; i < N_OWN_POLICIES; i++)
		if (stored.own[i])
			names[n++] = CStringGetTextDatum(own_policies[i].name);
	PG_RETURN_ARRAYTYPE_P(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
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

/* Letters and digits alone, in lower case. */
static char *
plain_name(const char *name)
{
	char *result = palloc(strlen(name) + 1);
	char *end = result;

	for (; *name != '\0'; name++)
		if (isalnum((unsigned char) *name))
			*end++ = pg_ascii_tolower((unsigned char) *name);
	*end = '\0';
	return result;
}

/* smart_internal.type_of_name(name text, fhir_version text) -> text */
Datum
smart_type_of_name(PG_FUNCTION_ARGS)
{
	static const char *const endings[] = {"", "s", "history", "shistory"};
	char *given = plain_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	FhirVersion version = version_arg(fcinfo, 1);

	for (int i = 0; i < fhir_type_count(version); i++)
	{
		const char *type = fhir_type_name(version, i);
		char *name = plain_name(type);
		size_t len = strlen(name);

		if (strncmp(given, name, len) != 0)
			continue;
		for (size_t j = 0; j < lengthof(endings); j++)
			if (strcmp(given + len, endings[j]) == 0)
				PG_RETURN_TEXT_P(cstring_to_text(type));
	}
	PG_RETURN_NULL();
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
