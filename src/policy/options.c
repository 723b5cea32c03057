/*
 * src/policy/options.c
 *		What smart.protect() was told of a table, as it stands in the policies' options.
 *
 * Reads the jsonb and nothing else. Knows no catalogs, no sessions and no plans.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "compat.h"
#include "policy/options.h"

static JsonbValue *
option(Jsonb *options, const char *name)
{
	JsonbValue key;

	key.type = jbvString;
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = strlen(name);
	return findJsonbValueFromContainer(&options->root, JB_FOBJECT, &key);
}

char *
policy_option_text(Jsonb *options, const char *name)
{
	JsonbValue *value = option(options, name);

	return value != NULL && value->type == jbvString
			   ? pnstrdup(value->val.string.val, value->val.string.len)
			   : NULL;
}

bool
policy_option_bool(Jsonb *options, const char *name)
{
	JsonbValue *value = option(options, name);

	return value != NULL && value->type == jbvBool && value->val.boolean;
}

/* An array of strings as names one after the other, ended by an empty one; NULL: none. */
static char *
option_names(Jsonb *options, const char *name)
{
	JsonbValue *value = option(options, name);
	StringInfoData names;
	int n;

	if (value == NULL || value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		return NULL;
	initStringInfo(&names);
	n = JsonContainerSize(value->val.binary.data);
	for (int i = 0; i < n; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(value->val.binary.data, i);

		if (element->type == jbvString && element->val.string.len > 0)
		{
			appendBinaryStringInfo(&names, element->val.string.val, element->val.string.len);
			appendStringInfoChar(&names, '\0');
		}
	}
	appendStringInfoChar(&names, '\0');
	return names.data;
}

bool
policy_options_are_current(Jsonb *options)
{
	JsonbValue *revision = option(options, "revision");

	/* any number may stand there, so it is not made an integer */
	return revision != NULL && revision->type == jbvNumeric &&
		   DatumGetBool(DirectFunctionCall2(numeric_eq,
											NumericGetDatum(revision->val.numeric),
											NumericGetDatum(int64_to_numeric(fhir_revision))));
}

/* Is an option this text? */
static bool
option_is(Jsonb *options, const char *name, const char *value)
{
	JsonbValue *given = option(options, name);

	return given != NULL && given->type == jbvString &&
		   given->val.string.len == (int) strlen(value) &&
		   memcmp(given->val.string.val, value, strlen(value)) == 0;
}

bool
policy_keys_are_references(Jsonb *options)
{
	return option_is(options, "patients_form", "reference");
}

bool
policy_options_read(Jsonb *options, AccessTable *table)
{
	char *version;
	char *reading;
	char *base_url;

	if (!JB_ROOT_IS_OBJECT(options))
		return false;
	version = policy_option_text(options, "fhir_version");
	reading = policy_option_text(options, "compartment");
	if (version == NULL || !fhir_version_parse(version, &table->version) || reading == NULL ||
		(strcmp(reading, "subject") != 0 && strcmp(reading, "full") != 0))
		return false;
	table->reading = strcmp(reading, "full") == 0 ? FHIR_FULL : FHIR_SUBJECT;
	table->shared = policy_option_bool(options, "shared") ? SHARED_YES : SHARED_NO;
	if (option(options, "shared") == NULL)
		table->shared = SHARED_DEFAULT;
	table->shared_types = option_names(options, "shared_types");
	table->has_patients = policy_option_bool(options, "patients");
	table->one_key = option_is(options, "key", "one");
	table->references = policy_keys_are_references(options);
	table->followed = option(options, "follow") != NULL;
	table->base_url.data = NULL;
	table->base_url.len = 0;
	base_url = policy_option_text(options, "base_url");
	if (base_url != NULL)
	{
		table->base_url.data = base_url;
		table->base_url.len = strlen(base_url);
	}
	return true;
}

void
policy_options(Jsonb *options, AccessTable *table)
{
	if (!policy_options_read(options, table))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("options of a smart_fhir policy cannot be read"),
				errhint("Run smart.protect() on the table again."));
	if (!policy_options_are_current(options))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("policy was made for another revision of the FHIR definitions"),
				errhint("Run smart.protect() on the table again."));
}

AccessCommand
policy_command_parse(const char *name, bool *check)
{
	*check = false;
	if (strcmp(name, "SELECT") == 0)
		return COMMAND_SELECT;
	if (strcmp(name, COMMAND_TARGET_NAME) == 0)
		return COMMAND_TARGET;
	if (strcmp(name, "INSERT CHECK") == 0)
	{
		*check = true;
		return COMMAND_INSERT;
	}
	if (strcmp(name, "UPDATE") == 0)
		return COMMAND_UPDATE;
	if (strcmp(name, "UPDATE CHECK") == 0)
	{
		*check = true;
		return COMMAND_UPDATE;
	}
	if (strcmp(name, "DELETE") == 0)
		return COMMAND_DELETE;
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid value for parameter \"%s\"", "command"));
}
