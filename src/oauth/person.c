/*
 * src/oauth/person.c
 *		The person at the browser. Knows nothing of requests and grants.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"

#include "compat.h"
#include "fhir/fhir.h"
#include "oauth/json.h"
#include "oauth/person.h"
#include "session/issuer.h"

bool
person_sub_is_valid(const char *sub)
{
	size_t len = strlen(sub);

	if (len < 1 || len > PERSON_MAX_SUB_BYTES)
		return false;
	for (const char *p = sub; *p != '\0'; p++)
		if (*p < 0x20 || *p > 0x7E)
			return false;
	return true;
}

static size_t
length_without_slash(const char *url)
{
	size_t len = strlen(url);

	return len > 0 && url[len - 1] == '/' ? len - 1 : len;
}

/* What stands behind the base; the text itself when it is relative. */
static const char *
relative(const char *fhir_user, const char *base)
{
	size_t len = length_without_slash(base);

	if (strncmp(fhir_user, base, len) == 0 && fhir_user[len] == '/')
		return fhir_user + len + 1;
	return fhir_user;
}

bool
person_set_fhir_user(Person *person, const char *fhir_user, const char *base)
{
	const char *local = relative(fhir_user, base);
	const char *slash = strchr(local, '/');

	if (slash == NULL || fhir_type_lookup(FHIR_R4, local, slash - local) < 0 ||
		!fhir_id_is_valid(slash + 1, strlen(slash + 1)))
		return false;
	person->type = pnstrdup(local, slash - local);
	person->fhir_user = psprintf("%.*s/%s", (int) length_without_slash(base), base, local);
	person->patient = strcmp(person->type, "Patient") == 0 ? pstrdup(slash + 1) : NULL;
	return true;
}

bool
person_is_user(const Person *person)
{
	static const char *const types[] = {
		"Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person"};

	for (size_t i = 0; person->type != NULL && i < lengthof(types); i++)
		if (strcmp(types[i], person->type) == 0)
			return true;
	return false;
}

bool
person_same_fhir_user(const char *a, const char *b, const char *base)
{
	return strcmp(relative(a, base), relative(b, base)) == 0;
}

/* user_patients(claims); *answered: it gave an array, an empty one too. */
static bool
is_patient_of_user(const Person *person, const char *patient, const char *client_id,
				   const OauthConfiguration *c, bool *answered)
{
	MemoryContext caller = CurrentMemoryContext;
	JsonObject claims;
	Jsonb *argument;
	volatile bool found = false;

	*answered = false;
	json_begin(&claims);
	json_add_text(&claims, "iss", c->issuer);
	json_add_text(&claims, "sub", person->sub);
	json_add_text(&claims, "fhirUser", person->fhir_user);
	json_add_text(&claims, "client_id", client_id);
	argument = json_end(&claims);
	PG_TRY();
	{
		Oid function = DatumGetObjectId(
			DirectFunctionCall1(regprocedurein, CStringGetDatum(c->user_patients)));
		FmgrInfo flinfo;
		LOCAL_FCINFO(fcinfo, 1);
		Datum result;

		if (get_func_rettype(function) != TEXTARRAYOID)
			ereport(ERROR,
					errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("user_patients must return text[]"));
		/* the caller needs EXECUTE, as if it had written the call itself */
		compat_check_execute(function);
		fmgr_info(function, &flinfo);
		InitFunctionCallInfoData(*fcinfo, &flinfo, 1, DEFAULT_COLLATION_OID, NULL, NULL);
		fcinfo->args[0].value = JsonbPGetDatum(argument);
		fcinfo->args[0].isnull = false;
		result = FunctionCallInvoke(fcinfo);
		if (!fcinfo->isnull)
		{
			Datum *elements;
			bool *nulls;
			int n;

			*answered = true;
			deconstruct_array(DatumGetArrayTypeP(result),
							  TEXTOID,
							  -1,
							  false,
							  TYPALIGN_INT,
							  &elements,
							  &nulls,
							  &n);
			for (int i = 0; i < n && !found; i++)
				found = !nulls[i] && strcmp(TextDatumGetCString(elements[i]), patient) == 0;
		}
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		ereport(LOG_SERVER_ONLY,
				errcode(error->sqlerrcode),
				errmsg("user_patients of the authorization server failed: %s", error->message),
				errhidestmt(true));
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("user_patients of the authorization server failed"),
				errhint("Its own error is in the server's log."));
	}
	PG_END_TRY();
	return found;
}

bool
person_may_choose(const Person *person, const char *patient, const char *client_id,
				  const OauthConfiguration *c)
{
	bool answered = false;
	bool staff = false;

	if (person->patient != NULL && strcmp(person->patient, patient) == 0)
		return true;
	if (c->user_patients != NULL && is_patient_of_user(person, patient, client_id, c, &answered))
		return true;
	if (answered || !c->user_sees_all || person->type == NULL)
		return false;
	/* whom user_sees_all means stands in the own row of smart.issuer, as for smart.login() */
	{
		const Issuer *issuer = issuer_lookup(c->issuer);

		staff = issuer != NULL &&
				issuer_texts_contain(&issuer->staff_types, person->type, strlen(person->type));
	}
	return staff;
}
