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
#define MAX_IGNORED 100

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

/* A claim that is there, and its name as a person writes it: members with dots between. */
typedef struct MappedValue
{
	JsonbValue *value;
	char *name;
} MappedValue;

static List *
add_value(List *values, JsonbValue *value, const char *name)
{
	MappedValue *mapped = palloc(sizeof(MappedValue));

	mapped->value = value;
	mapped->name = pstrdup(name);
	return lappend(values, mapped);
}

static char *
path_name(JsonbContainer *path)
{
	StringInfoData out;
	int n = JsonContainerSize(path);

	initStringInfo(&out);
	for (int i = 0; i < n; i++)
	{
		JsonbValue *step = getIthJsonbValueFromContainer(path, i);

		if (step != NULL && step->type == jbvString)
			appendStringInfo(
				&out, "%s%.*s", i == 0 ? "" : ".", step->val.string.len, step->val.string.val);
	}
	return out.data;
}

/*
 * The values that a name of the contract ("scope", "patient", ...) has: those of its paths in
 * the claim_map, else the claim of that name. Present ones only, in order, as MappedValue.
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
				values = add_value(values, found, path_name(path->val.binary.data));
		}
	}
	else
	{
		JsonbValue *found = member(&claims->root, name, strlen(name));

		if (found != NULL)
			values = add_value(values, found, name);
	}
	return values;
}

/* Say that a claim is of no use, and why. Claims have names here, never values. */
static void
ignore_claim(SessionClaims *out, const char *name, const char *reason)
{
	if (list_length(out->ignored) < MAX_IGNORED)
		out->ignored = lappend(out->ignored, psprintf("%s: %s", name, reason));
}

/* The first of the values, which must be a string. */
static char *
mapped_string(const Issuer *issuer, Jsonb *claims, const char *name, SessionClaims *out)
{
	List *values = mapped_values(issuer, claims, name);
	char *text;

	if (values == NIL)
		return NULL;
	text = string_or_null(((MappedValue *) linitial(values))->value);
	if (text == NULL)
		ignore_claim(out, ((MappedValue *) linitial(values))->name, "is no string");
	return text;
}

/* Follow member names; the spelled name goes to *name. NULL when a step is absent. */
static JsonbValue *
follow_names(Jsonb *claims, int n, const char *const *names, char **name)
{
	JsonbContainer *at = &claims->root;
	JsonbValue *found = NULL;
	StringInfoData spelled;

	initStringInfo(&spelled);
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			at = found != NULL && found->type == jbvBinary ? found->val.binary.data : NULL;
		found = at == NULL ? NULL : member(at, names[i], (int) strlen(names[i]));
		appendStringInfo(&spelled, "%s%s", i == 0 ? "" : ".", names[i]);
	}
	*name = spelled.data;
	return found;
}

/* "entra, okta": the presets that look for the claim under this name. */
static char *
presets_that_read(const char *claim, const char *name)
{
	StringInfoData out;
	const PresetPath *path;

	initStringInfo(&out);
	for (int i = 0; (path = session_preset_path(i)) != NULL; i++)
	{
		const char *at = name;

		if (strcmp(path->claim, claim) != 0)
			continue;
		for (int j = 0; j < path->n && at != NULL; j++)
		{
			size_t len = strlen(path->names[j]);

			at = strncmp(at, path->names[j], len) == 0 ? at + len : NULL;
			if (at != NULL && j < path->n - 1)
				at = *at == '.' ? at + 1 : NULL;
		}
		if (at != NULL && *at == '\0')
			appendStringInfo(&out, "%s%s", out.len == 0 ? "" : ", ", path->preset);
	}
	return out.data;
}

/*
 * Claims that hold what is looked for, but not where the issuer's options look: a preset, or a
 * claim_map, is missing.
 */
static void
ignore_unread(const Issuer *issuer, Jsonb *claims, const char *claim, SessionClaims *out,
			  bool (*fits)(const JsonbValue *))
{
	List *known = NIL; /* names that are read, or were told */
	List *values = mapped_values(issuer, claims, claim);
	ListCell *cell;
	const PresetPath *path = NULL;

	foreach(cell, values)
		known = lappend(known, ((MappedValue *) lfirst(cell))->name);
	/* the claim's own name first: a claim_map may look elsewhere */
	for (int i = -1; i < 0 || (path = session_preset_path(i)) != NULL; i++)
	{
		char *name;
		JsonbValue *found;
		bool is_known = false;

		if (i >= 0 && strcmp(path->claim, claim) != 0)
			continue;
		found = i < 0 ? follow_names(claims, 1, &claim, &name)
					  : follow_names(claims, path->n, path->names, &name);
		if (found == NULL || !fits(found))
			continue;
		foreach(cell, known)
			is_known = is_known || strcmp(lfirst(cell), name) == 0;
		if (is_known)
			continue;
		known = lappend(known, name);
		ignore_claim(
			out,
			name,
			i < 0 ? "is not read, since the issuer's claim_map looks elsewhere"
				  : psprintf("is not read for %s, but by preset %s, or a claim_map of your own",
							 claim,
							 presets_that_read(claim, name)));
	}
}

static bool
fits_scope(const JsonbValue *value)
{
	if (value->type == jbvString)
		return session_preset_is_scope(string_or_null(value));
	if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data))
	{
		JsonbIterator *it = JsonbIteratorInit(value->val.binary.data);
		JsonbIteratorToken token;
		JsonbValue element;

		while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
			if (token == WJB_ELEM && element.type == jbvString &&
				session_preset_is_scope(string_or_null(&element)))
				return true;
	}
	return false;
}

static bool
fits_patient(const JsonbValue *value)
{
	return value->type == jbvString || value->type == jbvBinary;
}

/* Type/id, bare or as the end of a URL; other claims of such names hold pages and pictures. */
static bool
fits_user(const JsonbValue *value)
{
	static const char *const types[] = {
		"Patient/", "Practitioner/", "PractitionerRole/", "RelatedPerson/", "Person/"};
	char *text = string_or_null(value);

	for (size_t i = 0; i < lengthof(types) && text != NULL; i++)
	{
		const char *at = strstr(text, types[i]);

		if (at != NULL && (at == text || at[-1] == '/'))
			return true;
	}
	return false;
}

/* A string, or an array of one-token strings; anything else is an empty scope (CX-6, CL-14). */
static void
read_scope(const Issuer *issuer, Jsonb *claims, SessionClaims *out)
{
	List *values = mapped_values(issuer, claims, "scope");
	MappedValue *mapped = values == NIL ? NULL : linitial(values);
	JsonbValue *value = mapped == NULL ? NULL : mapped->value;
	StringInfoData text;

	out->scope = "";
	/* told even beside others that are read */
	ignore_unread(issuer, claims, "scope", out, fits_scope);
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
				ignore_claim(out, mapped->name, "is an array, and not each element is one scope");
				return;
			}
			if (!first)
				appendStringInfoChar(&text, ' ');
			first = false;
			appendBinaryStringInfo(&text, element.val.string.val, element.val.string.len);
		}
		out->scope = text.data;
	}
	else
		ignore_claim(out, mapped->name, "is neither a string nor an array of strings");
	out->scope = session_preset_scope(issuer->preset, out->scope);
	if (session_preset_spells(out->scope))
		ignore_claim(out,
					 mapped->name,
					 "has scopes spelled with a dot, $ or %2F for the slash, which preset entra "
					 "alone reads");
}

/*
 * The part of a reference behind the base URL, where that is one of this server; the reference as
 * it is when it has none. Not NULL.
 */
static const char *
without_own_base(const SessionClaims *claims, const char *reference)
{
	ListCell *cell;

	foreach(cell, claims->own_bases)
	{
		size_t len = strlen(lfirst(cell));

		if (strncmp(reference, lfirst(cell), len) == 0 && reference[len] == '/')
			return reference + len + 1;
	}
	return reference;
}

/* Collects valid ids; false when one of the values is no patient id at all. */
static bool
add_patient(const Issuer *issuer, const SessionClaims *claims, SessionIds *ids, const char *value,
			int len)
{
	const char *id = pnstrdup(value, len);

	if (issuer->patient_references)
	{
		const char *local = without_own_base(claims, id);

		if (strncmp(local, "Patient/", 8) == 0)
			id = local + 8;
	}
	if (!fhir_id_is_valid(id, strlen(id)) || list_length(ids->list) >= MAX_PATIENTS)
		return false;
	session_ids_add(ids, id, strlen(id));
	return true;
}

/* Why a string is no patient. */
static const char *
string_problem(const Issuer *issuer, const char *text, int len)
{
	const char *copy = pnstrdup(text, len);
	const char *at = strstr(copy, "Patient/");

	if (at == NULL || (at != copy && at[-1] != '/'))
		return "is no FHIR id";
	if (!issuer->patient_references)
		return "is a reference, and the issuer's patient_references is not set";
	return at == copy ? "is no reference to a patient"
					  : "is a reference to another server than those of the token";
}

/*
 * The ids that one claim names. A string is one id, or several by spaces where the preset's
 * issuers write them so; an array only where several patients are allowed (CX-2, CX-3).
 * NIL, and the reason, when the claim is no patient.
 */
static List *
patient_ids(const Issuer *issuer, const SessionClaims *claims, const JsonbValue *value,
			const char **problem)
{
	SessionIds ids = {NIL, NULL};
	bool is_array = value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data);

	*problem = "is neither a string nor an array of strings";
	if (value->type == jbvString)
	{
		const char *at = value->val.string.val;
		const char *end = at + value->val.string.len;

		*problem = string_problem(issuer, at, end - at);
		if (issuer->max_patients == 1)
			return add_patient(issuer, claims, &ids, at, end - at) ? ids.list : NIL;
		while (at < end)
		{
			const char *space = memchr(at, ' ', end - at);
			const char *stop = space ? space : end;

			if (stop > at && !add_patient(issuer, claims, &ids, at, stop - at))
				return NIL;
			at = stop + 1;
		}
	}
	else if (is_array && issuer->max_patients == 1)
		*problem = "is an array, and the issuer's max_patients is 1";
	else if (is_array)
	{
		JsonbIterator *it = JsonbIteratorInit(value->val.binary.data);
		JsonbIteratorToken token;
		JsonbValue element;

		*problem = "has an element that is no FHIR id";
		while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
			if (token == WJB_ELEM &&
				(element.type != jbvString ||
				 !add_patient(
					 issuer, claims, &ids, element.val.string.val, element.val.string.len)))
				return NIL;
		if (ids.list == NIL)
			*problem = "names nobody";
	}
	if (list_length(ids.list) <= issuer->max_patients)
		return ids.list;
	*problem = "names more patients than the issuer's max_patients";
	return NIL;
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
		MappedValue *mapped = lfirst(cell);
		const char *problem;
		List *here = patient_ids(issuer, out, mapped->value, &problem);

		if (here == NIL)
			ignore_claim(out, mapped->name, problem);
		if (cell != list_head(values) && !same_patients(ids, here))
		{
			MappedValue *first = linitial(values);

			out->problem = here != NIL && ids != NIL
							   ? psprintf("The token's %s and %s name different patients.",
										  first->name,
										  mapped->name)
							   : psprintf("The token's %s and %s do not name the same patient: %s.",
										  first->name,
										  mapped->name,
										  (char *) llast(out->ignored));
			return JOSE_CONTEXT;
		}
		ids = here;
	}
	if (values == NIL)
		ignore_unread(issuer, claims, "patient", out, fits_patient);
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

static List *
without_trailing_slash(List *list, const char *url)
{
	size_t len = strlen(url);

	if (len > 0 && url[len - 1] == '/')
		len--;
	return len == 0 ? list : lappend(list, pnstrdup(url, len));
}

static List *
add_bases(List *list, const IssuerTexts *urls)
{
	for (int i = 0; i < urls->n; i++)
		list = without_trailing_slash(list, urls->values[i]);
	return list;
}

/*
 * The bases that the token opens: the accepted ones among its aud; base_urls without aud. Under
 * those, and base_urls, references are this server's (US-2, US-3): another audience of the issuer
 * will not do where the token names its own, else a patient of one server would be read as
 * another server's.
 */
static void
read_bases(const Issuer *issuer, SessionClaims *out)
{
	const IssuerTexts *accepted = issuer->audience.null ? &issuer->base_urls : &issuer->audience;

	for (int i = 0; i < out->n_audience; i++)
		if (issuer_texts_contain(accepted, out->audience[i], strlen(out->audience[i])))
			out->bases = without_trailing_slash(out->bases, out->audience[i]);
	if (out->n_audience == 0)
		out->bases = add_bases(out->bases, &issuer->base_urls);
	out->own_bases =
		out->n_audience > 0 ? list_copy(out->bases) : add_bases(NIL, &issuer->audience);
	out->own_bases = add_bases(out->own_bases, &issuer->base_urls);
}

/* Of FHIR types that a fhirUser may have: Type/id of this server, else it is no user of ours. */
static void
read_user(SessionClaims *out)
{
	static const char *const types[] = {
		"Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person"};
	const char *local;
	const char *slash;

	if (out->fhir_user == NULL)
		return;
	local = without_own_base(out, out->fhir_user);
	slash = strchr(local, '/');
	for (size_t i = 0; i < lengthof(types) && slash != NULL; i++)
		if (strlen(types[i]) == (size_t) (slash - local) &&
			memcmp(types[i], local, slash - local) == 0 &&
			fhir_id_is_valid(slash + 1, strlen(slash + 1)))
		{
			out->user_type = types[i];
			out->user_id = slash + 1;
			return;
		}
	ignore_claim(out,
				 "fhirUser",
				 strstr(out->fhir_user, "://") != NULL && local == out->fhir_user
					 ? "is under a base URL that the token does not open (aud, base_urls)"
					 : "is not Type/id of a Patient, Practitioner, PractitionerRole, "
					   "RelatedPerson or Person");
}

JoseStatus
session_claims_read(const Issuer *issuer, Jsonb *claims, SessionClaims *out)
{
	memset(out, 0, sizeof(*out));
	if (!JB_ROOT_IS_OBJECT(claims))
		return JOSE_MALFORMED;
	read_audience(claims, out);
	read_bases(issuer, out);
	read_scope(issuer, claims, out);
	out->fhir_user = mapped_string(issuer, claims, "fhirUser", out);
	if (out->fhir_user == NULL)
		ignore_unread(issuer, claims, "fhirUser", out, fits_user);
	read_user(out);
	out->client_id = mapped_string(issuer, claims, "client_id", out);
	out->encounter = mapped_string(issuer, claims, "encounter", out);
	if (out->encounter != NULL && !fhir_id_is_valid(out->encounter, strlen(out->encounter)))
	{
		ignore_claim(out, "encounter", "is no FHIR id");
		out->encounter = NULL;
	}
	out->subject = session_claim_string(claims, "sub");
	out->jti = session_claim_string(claims, "jti");
	return read_patients(issuer, claims, out);
}
