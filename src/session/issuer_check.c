/*
 * src/session/issuer_check.c
 *		What plain SQL cannot check of a row of smart.issuer, and what became of its keys.
 *
 * What a key is good for is decided in src/jose; here it is told. Knows nothing of tokens.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "jose/jose.h"

/* Keys that one error names, and NOTICEs of one call; the rest is counted. */
#define KEYS_NAMED 10

PG_FUNCTION_INFO_V1(smart_check_issuer);
PG_FUNCTION_INFO_V1(smart_issuer_keys);

static void
raise_invalid(const char *parameter, const char *detail)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid value for parameter \"%s\"", parameter),
			errdetail("%s", detail),
			errhidestmt(true),
			errhidecontext(true),
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "invalid_parameter"));
}

/* {"scope"|"patient"|"encounter"|"fhirUser"|"client_id": [[member, ...], ...]} */
static void
check_claim_map(Jsonb *map)
{
	static const char *const names[] = {"scope", "patient", "encounter", "fhirUser", "client_id"};
	JsonbIterator *it = JsonbIteratorInit(&map->root);
	JsonbIteratorToken token;
	JsonbValue value;
	int depth = 0;

	if (!JB_ROOT_IS_OBJECT(map))
		raise_invalid("claim_map", "It must be a JSON object.");
	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		bool known = false;

		switch (token)
		{
			case WJB_KEY:
				for (size_t i = 0; i < lengthof(names); i++)
					known = known ||
							(value.val.string.len == (int) strlen(names[i]) &&
							 memcmp(value.val.string.val, names[i], value.val.string.len) == 0);
				if (!known)
					raise_invalid(
						"claim_map",
						"Its members are scope, patient, encounter, fhirUser and client_id.");
				break;
			case WJB_BEGIN_ARRAY:
				depth++;
				break;
			case WJB_END_ARRAY:
				depth--;
				break;
			case WJB_BEGIN_OBJECT:
				if (depth > 0)
					raise_invalid("claim_map", "Each path is an array of member names.");
				break;
			case WJB_VALUE:
				raise_invalid("claim_map", "Each member is an array of paths.");
				break;
			case WJB_ELEM:
				if (depth != 2 || value.type != jbvString)
					raise_invalid("claim_map", "Each path is an array of member names.");
				break;
			default:
				break;
		}
		if (depth > 2)
			raise_invalid("claim_map", "Each path is an array of member names.");
	}
}

/* The bits of algorithms text[]. */
static uint32
algorithms_from_array(ArrayType *array)
{
	Datum *names;
	bool *nulls;
	int n;
	uint32 algorithms = 0;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		const char *name = nulls[i] ? "" : TextDatumGetCString(names[i]);
		uint32 bit = jose_algorithm_by_name(name, strlen(name));

		if (bit == 0)
			raise_invalid(
				"algorithms",
				"Known are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, "
				"EdDSA, HS256, HS384 and HS512.");
		algorithms |= bit;
	}
	return algorithms;
}

/* A set for an issuer holds public keys, but where HS* was listed on purpose (JK-8). */
static bool
is_public_only(uint32 algorithms)
{
	return (algorithms & ~JOSE_ASYMMETRIC) == 0;
}

/* The report on a set, in the light of what the issuer allows. */
static JoseKeyReport *
report_keys(Jsonb *jwks, uint32 algorithms, int *n, const char **error)
{
	JoseKeyReport *keys = jose_keyset_report(jwks, is_public_only(algorithms), n, error);

	for (int i = 0; i < *n; i++)
	{
		if (keys[i].verifies == 0 || (keys[i].verifies & algorithms) != 0)
			continue;
		keys[i].verifies = 0;
		keys[i].reason = "It fits none of the issuer's algorithms.";
	}
	return keys;
}

/* The names of the algorithms that no key fits, for a message. */
static char *
unfit_algorithms(uint32 algorithms, const JoseKeyReport *keys, int n)
{
	StringInfoData names;

	for (int i = 0; i < n; i++)
		algorithms &= ~keys[i].verifies;
	initStringInfo(&names);
	for (uint32 bit = 1; bit <= JOSE_ALL; bit <<= 1)
	{
		if ((algorithms & bit) != 0)
			appendStringInfo(&names, "%s%s", names.len == 0 ? "" : ", ", jose_algorithm_name(bit));
	}
	return names.data;
}

/* No key can be used, whatever the algorithms: say of each why. */
static void
raise_no_key(const JoseKeyReport *keys, int n)
{
	StringInfoData told;

	initStringInfo(&told);
	appendStringInfoString(&told, "It has no key that can be used.");
	for (int i = 0; i < n && i < KEYS_NAMED; i++)
		appendStringInfo(
			&told, "\n%s: %s", jose_key_name(keys[i].number, keys[i].kid), keys[i].reason);
	raise_invalid("jwks", told.data);
}

/*
 * Refuse a set that no token could be verified with, and tell which of its keys, and with listed
 * which of the algorithms, are of no use.
 */
static void
check_keys(Jsonb *jwks, uint32 algorithms, bool listed)
{
	const char *error = NULL;
	JoseKeySet *set = jose_keyset_parse(jwks, is_public_only(algorithms), &error);
	JoseKeyReport *keys;
	char *unfit;
	int n;
	int n_useless = 0;

	if (set == NULL)
		raise_invalid("jwks", error);
	keys = report_keys(jwks, algorithms, &n, &error);
	if (jose_keyset_size(set) == 0)
		raise_no_key(keys, n);
	for (int i = 0; i < n; i++)
	{
		if (keys[i].verifies == 0 && ++n_useless <= KEYS_NAMED)
			ereport(
				NOTICE,
				errmsg("%s of the key set is not used", jose_key_name(keys[i].number, keys[i].kid)),
				errdetail("%s", keys[i].reason));
	}
	if (n_useless > KEYS_NAMED)
		ereport(NOTICE,
				errmsg_plural("%d more key of the key set is not used",
							  "%d more keys of the key set are not used",
							  n_useless - KEYS_NAMED,
							  n_useless - KEYS_NAMED),
				errhint("smart.issuer_keys() lists each key with its reason."));
	unfit = unfit_algorithms(algorithms, keys, n);
	/* told and not refused: the key for it may come with the next smart.set_jwks() */
	if (listed && unfit[0] != '\0')
		ereport(NOTICE,
				errmsg("no key of the key set fits %s", unfit),
				errdetail("Tokens that are signed so will be refused."));
}

/* smart_internal.check_issuer(jwks, algorithms, claim_map) */
Datum
smart_check_issuer(PG_FUNCTION_ARGS)
{
	uint32 algorithms = JOSE_ASYMMETRIC;

	if (!PG_ARGISNULL(1))
		algorithms = algorithms_from_array(PG_GETARG_ARRAYTYPE_P(1));
	/* NULL: keys that are still to be fetched; the table says who may have none */
	if (!PG_ARGISNULL(0))
		check_keys(PG_GETARG_JSONB_P(0), algorithms, !PG_ARGISNULL(1));
	if (!PG_ARGISNULL(2))
		check_claim_map(PG_GETARG_JSONB_P(2));
	PG_RETURN_VOID();
}

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text == NULL;
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/* issuer_keys(jwks, algorithms): the rows of smart.issuer_keys(issuer). */
Datum
smart_issuer_keys(PG_FUNCTION_ARGS)
{
	uint32 algorithms = JOSE_ASYMMETRIC;
	const char *error = NULL;
	JoseKeyReport *keys;
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int n;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (!PG_ARGISNULL(1))
		algorithms = algorithms_from_array(PG_GETARG_ARRAYTYPE_P(1));
	keys = report_keys(PG_GETARG_JSONB_P(0), algorithms, &n, &error);
	if (keys == NULL)
		raise_invalid("jwks", error);
	for (int i = 0; i < n; i++)
	{
		const JoseKeyReport *key = &keys[i];
		Datum values[6];
		bool nulls[6] = {false};

		values[0] = text_or_null(key->kid, &nulls[0]);
		values[1] = text_or_null(key->kty, &nulls[1]);
		values[2] = text_or_null(key->alg, &nulls[2]);
		values[3] = text_or_null(key->use, &nulls[3]);
		values[4] = BoolGetDatum(key->verifies != 0);
		values[5] = text_or_null(key->reason, &nulls[5]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
