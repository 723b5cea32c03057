/*
 * src/session/claims.c
 *		What a token's claims say: scope, patient, user, client, by the issuer's claim_map.
 *
 * Claim names hold dots, colons and slashes, so a path is an array of member names (CX-1).
 * Reads claims that were verified already; decides nothing.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "compat.h"
#include "fhir/fhir.h"
#include "session/session.h"
#include "session/preset.h"

#define MAX_PATIENTS 10000

static JsonbValue *
member(JsonbContainer *container, const char *name, int len)
{
	JsonbValue key;

	if (!JsonContainerIsObject(container))
		return NULL;
	key.type = jbvString;
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = len;
	return findJsonbValueFromContainer(container, JB_FOBJECT, &key);
}

static char *
string_or_null(const JsonbValue *value)
{
	if (value == NULL || value->type != jbvString)
		return NULL;
	return pnstrdup(value->val.string.val, value->val.string.len);
}

char *
session_claim_string(Jsonb *claims, const char *name)
{
	return string_or_null(member(&claims->root, name, strlen(name)));
}

bool
session_claim_exists(Jsonb *claims, const char *name)
{
	return member(&claims->root, name, strlen(name)) != NULL;
}

bool
session_claim_is_true(Jsonb *claims, const char *name)
{
	JsonbValue *value = member(&claims->root, name, strlen(name));

	return value != NULL && value->type == jbvBool && value->val.boolean;
}

/* Follow one path (a jsonb array of names); NULL when a step is absent. */
static JsonbValue *
follow_path(Jsonb *claims, JsonbContainer *path)
{
	JsonbContainer *at = &claims->root;
	JsonbValue *found = NULL;
	int n = JsonContainerSize(path);

	for (int i = 0; i < n; i++)
	{
		JsonbValue *step = getIthJsonbValueFromContainer(path, i);

		if (step == NULL || step->type != jbvString)
			return NULL;
		if (i > 0)
		{
			if (found->type != jbvBinary)
				return NULL;
			at = found->val.binary.data;
		}
		found = member(at, step->val.string.val, step->val.string.len);
		if (found == NULL)
			return NULL;
	}
	return found;
}

/*
 * The values that a name of the contract ("scope", "patient", ...) has: those of its paths in
 * the claim_map, else the claim of that name. Present ones only, in order.
 */
static List *
mapped_values(const Issuer *issuer, Jsonb *claims, const char *name)
{
	JsonbValue *paths = NULL;
	List *values = NIL;

	if (issuer->claim_map != NULL)
		paths = member(&issuer->claim_map->root, name, strlen(name));
	if (paths != NULL && paths->type == jbvBinary && JsonContainerIsArray(paths->val.binary.data))
	{
		int n = JsonContainerSize(paths->val.binary.data);

		for (int i = 0; i < n; i++)
		{
			JsonbValue *path = getIthJsonbValueFromContainer(paths->val.binary.data, i);
			JsonbValue *found = NULL;

			if (path != NULL && path->type == jbvBinary &&
				JsonContainerIsArray(path->val.binary.data))
				found = follow_path(claims, path->val.binary.data);
			if (found != NULL)
				values = lappend(values, found);
		}
	}
	else
	{
		JsonbValue *found = member(&claims->root, name, strlen(name));

		if (found != NULL)
			values = lappend(values, found);
	}
	return values;
}

static char *
mapped_string(const Issuer *issuer, Jsonb *claims, const char *name)
{
	List *values = mapped_values(issuer, claims, name);

	return values == NIL ? NULL : string_or_null(linitial(values));
}

/* A string, or an array of one-token strings; anything else is an empty scope (CX-6, CL-14). */
static void
read_scope(const Issuer *issuer, Jsonb *claims, SessionClaims *out)
{
	List *values = mapped_values(issuer, claims, "scope");
	JsonbValue *value = values == NIL ? NULL : linitial(values);
	StringInfoData text;

	out->scope = "";
	if (value == NULL)
		return;
	if (value->type == jbvString)
		out->scope = string_or_null(value);
	else if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data))
	{
		JsonbIterator *it = JsonbIteratorInit(value->val.binary.data);
		JsonbIteratorToken token;
		JsonbValue element;
		bool first = true;

		initStringInfo(&text);
		while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
		{
			if (token != WJB_ELEM)
				continue;
			if (element.type != jbvString ||
				memchr(element.val.string.val, ' ', element.val.string.len) != NULL)
			{
				out->scope_malformed = true;
				return;
			}
			if (!first)
				appendStringInfoChar(&text, ' ');
			first = false;
			appendBinaryStringInfo(&text, element.val.string.val, element.val.string.len);
		}
		out->scope = text.data;
	}
	out->scope = session_preset_scope(issuer->preset, out->scope);
}

/* Collects valid ids; false when one of the values is no patient id at all. */
static bool
add_patient(SessionIds *ids, const char *value, int len)
{
	if (!fhir_id_is_valid(value, len) || list_length(ids->list) >= MAX_PATIENTS)
		return false;
	session_ids_add(ids, value, len);
	return true;
}

/*
 * The ids that one claim names. A string is one id, or several by spaces where the preset's
 * issuers write them so; an array only where several patients are allowed (CX-2, CX-3).
 * NIL when the claim is no patient.
 */
static List *
patient_ids(const Issuer *issuer, const JsonbValue *value)
{
	SessionIds ids = {NIL, NULL};

	if (value->type == jbvString)
	{
		const char *at = value->val.string.val;
		const char *end = at + value->val.string.len;

		if (issuer->max_patients == 1)
			return add_patient(&ids, at, end - at) ? ids.list : NIL;
		while (at < end)
		{
			const char *space = memchr(at, ' ', end - at);
			const char *stop = space ? space : end;

			if (stop > at && !add_patient(&ids, at, stop - at))
				return NIL;
			at = stop + 1;
		}
	}
	else if (issuer->max_patients > 1 && value->type == jbvBinary &&
			 JsonContainerIsArray(value->val.binary.data))
	{
		JsonbIterator *it = JsonbIteratorInit(value->val.binary.data);
		JsonbIteratorToken token;
		JsonbValue element;

		while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
			if (token == WJB_ELEM &&
				(element.type != jbvString ||
				 !add_patient(&ids, element.val.string.val, element.val.string.len)))
				return NIL;
	}
	return list_length(ids.list) <= issuer->max_patients ? ids.list : NIL;
}

static int
compare_ids(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

/* Of lists without repeats. */
static bool
same_patients(List *a, List *b)
{
	ListCell *x;
	ListCell *y;

	if (list_length(a) != list_length(b))
		return false;
	a = list_copy(a);
	b = list_copy(b);
	list_sort(a, compare_ids);
	list_sort(b, compare_ids);
	forboth(x, a, y, b)
	{
		if (strcmp(lfirst(x), lfirst(y)) != 0)
			return false;
	}
	return true;
}

/* All configured claims that are there must name the same patient (CX-5). */
static JoseStatus
read_patients(const Issuer *issuer, Jsonb *claims, SessionClaims *out)
{
	List *values = mapped_values(issuer, claims, "patient");
	List *ids = NIL;
	ListCell *cell;
	int i = 0;

	foreach(cell, values)
	{
		List *here = patient_ids(issuer, lfirst(cell));

		if (cell != list_head(values) && !same_patients(ids, here))
			return JOSE_CONTEXT;
		ids = here;
	}
	out->has_patient_claim = values != NIL;
	out->n_patients = list_length(ids);
	out->patients = palloc(sizeof(char *) * Max(out->n_patients, 1));
	foreach(cell, ids)
		out->patients[i++] = lfirst(cell);
	return JOSE_OK;
}

static void
read_audience(Jsonb *claims, SessionClaims *out)
{
	JsonbValue *value = member(&claims->root, "aud", 3);

	out->n_audience = 0;
	out->audience = NULL;
	if (value == NULL)
		return;
	if (value->type == jbvString)
	{
		out->audience = palloc(sizeof(char *));
		out->audience[out->n_audience++] = string_or_null(value);
	}
	else if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data))
	{
		JsonbIterator *it = JsonbIteratorInit(value->val.binary.data);
		JsonbIteratorToken token;
		JsonbValue element;

		out->audience = palloc(sizeof(char *) * (JsonContainerSize(value->val.binary.data) + 1));
		while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
			if (token == WJB_ELEM && element.type == jbvString)
				out->audience[out->n_audience++] = string_or_null(&element);
	}
}

JoseStatus
session_claims_read(const Issuer *issuer, Jsonb *claims, SessionClaims *out)
{
	memset(out, 0, sizeof(*out));
	if (!JB_ROOT_IS_OBJECT(claims))
		return JOSE_MALFORMED;
	read_scope(issuer, claims, out);
	out->fhir_user = mapped_string(issuer, claims, "fhirUser");
	out->client_id = mapped_string(issuer, claims, "client_id");
	out->encounter = mapped_string(issuer, claims, "encounter");
	if (out->encounter != NULL && !fhir_id_is_valid(out->encounter, strlen(out->encounter)))
		out->encounter = NULL;
	out->subject = session_claim_string(claims, "sub");
	out->jti = session_claim_string(claims, "jti");
	read_audience(claims, out);
	return read_patients(issuer, claims, out);
}
