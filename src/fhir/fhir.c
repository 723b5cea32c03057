/*
 * src/fhir/fhir.c
 *		The SQL functions of the fhir layer; the only place in it that raises errors.
 *
 * Options are short texts that are compared in place: nothing is parsed or allocated for
 * them, and a call allocates no more than its result and the detoasted resource.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "compat.h"
#include "fhir/fhir.h"
#include "jose/json.h"

PG_FUNCTION_INFO_V1(smart_patients);
PG_FUNCTION_INFO_V1(smart_row_patients);
PG_FUNCTION_INFO_V1(smart_row_patient);
PG_FUNCTION_INFO_V1(smart_reference_key);
PG_FUNCTION_INFO_V1(smart_resource_json);
PG_FUNCTION_INFO_V1(smart_fhir_revision);
PG_FUNCTION_INFO_V1(smart_fhir_probe);

/* Deeper than any resource; the most that json_check() checks. */
#define MAX_RESOURCE_DEPTH 256
/* Within these, no limit of jsonb or palloc can be met (32 bytes a value, 2^28 bytes). */
#define MAX_RESOURCE_BYTES (200 * 1024 * 1024)
#define MAX_RESOURCE_VALUES (8 * 1024 * 1024)

static FhirText
arg_text(FunctionCallInfo fcinfo, int i)
{
	text *arg;

	if (PG_ARGISNULL(i))
		return (FhirText){NULL, 0};
	arg = PG_GETARG_TEXT_PP(i);
	return (FhirText){VARDATA_ANY(arg), (int) VARSIZE_ANY_EXHDR(arg)};
}

static bool
text_is(FhirText text, const char *literal)
{
	return (size_t) text.len == strlen(literal) && memcmp(text.data, literal, text.len) == 0;
}

/* NULL is the default, as in a call that leaves the option out. */
static FhirReading
arg_reading(FunctionCallInfo fcinfo, int i)
{
	FhirText name = arg_text(fcinfo, i);

	if (name.data == NULL || text_is(name, "subject"))
		return FHIR_SUBJECT;
	if (text_is(name, "full"))
		return FHIR_FULL;
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid value for parameter \"compartment\""),
			errhint("Available values: subject, full."));
}

static FhirVersion
arg_version(FunctionCallInfo fcinfo, int i)
{
	FhirText name = arg_text(fcinfo, i);

	if (name.data == NULL)
		return FHIR_R4;
	for (int version = 0; version < FHIR_VERSIONS; version++)
	{
		if (text_is(name, fhir_version_name(version)))
			return (FhirVersion) version;
	}
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid value for parameter \"fhir_version\""),
			errhint("Available values: R4, R4B, R5."));
}

/* One-dimensional text[] of the keys, in one allocation. */
static ArrayType *
keys_array(const FhirKeys *keys)
{
	Size size = ARR_OVERHEAD_NONULLS(1);
	ArrayType *array;
	char *at;

	if (keys->n == 0)
		return construct_empty_array(TEXTOID);
	for (int i = 0; i < keys->n; i++)
		size += INTALIGN(VARHDRSZ + keys->keys[i].len);

	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = 0;
	array->elemtype = TEXTOID;
	ARR_DIMS(array)[0] = keys->n;
	ARR_LBOUND(array)[0] = 1;
	at = (char *) array + ARR_OVERHEAD_NONULLS(1);
	for (int i = 0; i < keys->n; i++)
	{
		int len = keys->keys[i].len;

		SET_VARSIZE(at, VARHDRSZ + len);
		memcpy(at + VARHDRSZ, keys->keys[i].data, len);
		at += INTALIGN(VARHDRSZ + len);
	}
	return array;
}

/*
 * smart.patients(resource jsonb, compartment text, fhir_version text, base_url text) -> text[]
 */
Datum
smart_patients(PG_FUNCTION_ARGS)
{
	FhirReading reading = arg_reading(fcinfo, 1);
	FhirVersion version = arg_version(fcinfo, 2);
	FhirText none = {NULL, 0};
	FhirResource res;
	FhirKeys keys;
	ArrayType *result;

	fhir_keys_init(&keys);
	if (!PG_ARGISNULL(0) &&
		fhir_resource_init(
			&res, &PG_GETARG_JSONB_P(0)->root, version, none, none, arg_text(fcinfo, 3)))
		fhir_patients(&res, reading, &keys);
	result = keys_array(&keys);
	fhir_keys_reset(&keys);
	PG_RETURN_ARRAYTYPE_P(result);
}

/* Arguments of row_patients() and row_patient(). */
enum
{
	ROW_RESOURCE,
	ROW_TYPE,
	ROW_ID,
	ROW_COMPARTMENT,
	ROW_VERSION,
	ROW_BASE_URL,
	ROW_REVISION
};

static void
row_keys(FunctionCallInfo fcinfo, FhirKeys *keys)
{
	FhirReading reading = arg_reading(fcinfo, ROW_COMPARTMENT);
	FhirVersion version = arg_version(fcinfo, ROW_VERSION);
	FhirResource res;

	if (PG_ARGISNULL(ROW_REVISION) || PG_GETARG_INT32(ROW_REVISION) != fhir_revision)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("index or policy was made for another revision of the FHIR tables"),
				errdetail("The installed revision is %d.", fhir_revision),
				errhint("Run smart.protect() for the table again."));

	fhir_keys_init(keys);
	if (!PG_ARGISNULL(ROW_RESOURCE) && fhir_resource_init(&res,
														  &PG_GETARG_JSONB_P(ROW_RESOURCE)->root,
														  version,
														  arg_text(fcinfo, ROW_TYPE),
														  arg_text(fcinfo, ROW_ID),
														  arg_text(fcinfo, ROW_BASE_URL)))
		fhir_patients(&res, reading, keys);
}

/*
 * smart_internal.row_patients(resource jsonb, resource_type text, id text, compartment text,
 *					  fhir_version text, base_url text, revision int) -> text[]
 */
Datum
smart_row_patients(PG_FUNCTION_ARGS)
{
	FhirKeys keys;
	ArrayType *result;

	row_keys(fcinfo, &keys);
	result = keys_array(&keys);
	fhir_keys_reset(&keys);
	PG_RETURN_ARRAYTYPE_P(result);
}

/*
 * smart_internal.row_patient(...) -> text: the only key; NULL when there is none, "*", which is no key,
 * when there are several
 */
Datum
smart_row_patient(PG_FUNCTION_ARGS)
{
	FhirKeys keys;
	text *result = NULL;

	row_keys(fcinfo, &keys);
	if (keys.n == 1)
		result = cstring_to_text_with_len(keys.keys[0].data, keys.keys[0].len);
	else if (keys.n > 1)
		result = cstring_to_text(FHIR_SEVERAL_PATIENTS);
	fhir_keys_reset(&keys);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(result);
}

/*
 * smart.reference_key(reference text, base_url text) -> text
 */
Datum
smart_reference_key(PG_FUNCTION_ARGS)
{
	FhirText key;

	if (PG_ARGISNULL(0) || !fhir_reference_key(arg_text(fcinfo, 0), arg_text(fcinfo, 1), &key))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(key.data, key.len));
}

/* Could jsonb run into a limit of its own (an error) with this much text? */
static bool
fits_jsonb(FhirText json)
{
	int values = 0;

	if (json.len > MAX_RESOURCE_BYTES)
		return false;
	if (json.len <= MAX_RESOURCE_VALUES)
		return true;
	for (int i = 0; i < json.len; i++)
		values += json.data[i] == ',' || json.data[i] == '[' || json.data[i] == '{';
	return values <= MAX_RESOURCE_VALUES;
}

/*
 * smart.resource_json(resource text) -> jsonb, NULL for what is not JSON
 *
 * A policy must not fail because of one row: a deleted row whose content is '' would
 * hide the whole table behind an error. A member that stands twice would be read as one
 * patient here and as another by a parser that takes the first: no resource either.
 */
Datum
smart_resource_json(PG_FUNCTION_ARGS)
{
	FhirText json = arg_text(fcinfo, 0);
	/* jsonb_in() raises an error when the database encoding lacks a character */
	JsonRules rules = {.max_depth = MAX_RESOURCE_DEPTH,
					   .unique_members = true,
					   .ascii_only = GetDatabaseEncoding() != PG_UTF8};

	if (json.len == 0 || !fits_jsonb(json) || !json_check(json.data, json.len, &rules))
		PG_RETURN_NULL();

	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(pnstrdup(json.data, json.len))));
}

/*
 * smart.fhir_revision() -> int
 */
Datum
smart_fhir_revision(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(fhir_revision);
}

/*
 * For the tests only, and declared only there: (resource jsonb, parameter text, value text,
 * fhir_version text, base_url text) -> text. "match", "no match", or the reason why the
 * constraint grants nothing; without a resource "valid" or that reason, for any type.
 */
Datum
smart_fhir_probe(PG_FUNCTION_ARGS)
{
	FhirText none = {NULL, 0};
	FhirVersion version = arg_version(fcinfo, 3);
	FhirConstraint *constraint;
	FhirResource res;
	const char *reason;
	char *name;
	char *value;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	value = text_to_cstring(PG_GETARG_TEXT_PP(2));
	if (PG_ARGISNULL(0))
		PG_RETURN_TEXT_P(cstring_to_text(
			fhir_constraint_check_any(version, name, value, &reason) ? "valid" : reason));

	if (!fhir_resource_init(
			&res, &PG_GETARG_JSONB_P(0)->root, version, none, none, arg_text(fcinfo, 4)))
		PG_RETURN_TEXT_P(cstring_to_text("not a resource"));
	constraint = fhir_constraint_compile(version, res.type, name, value, &reason);
	if (constraint == NULL)
		PG_RETURN_TEXT_P(cstring_to_text(reason));
	PG_RETURN_TEXT_P(
		cstring_to_text(fhir_constraint_matches(constraint, &res) ? "match" : "no match"));
}
