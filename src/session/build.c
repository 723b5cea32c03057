/*
 * src/session/build.c
 *		Claims and the issuer's options to one flat Session.
 *
 * Here the reach of each level is settled (design.md "How a row is decided"): whose rows
 * patient/, user/ and system/ can touch. The issuer's context functions run here, once, with
 * the caller's rights; while they run nobody is logged in, and an error in them refuses the
 * login.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/resowner.h"

#include "compat.h"
#include "fhir/fhir.h"
#include "scope/types.h"
#include "session/scope_claim.h"
#include "session/session.h"

#define MAX_CONTEXT_PATIENTS 100000

/* The session grows in a StringInfo; offset 0 is the Session itself, so 0 can mean absent. */
static int32
put_text(StringInfo buf, const char *text)
{
	int32 offset = buf->len;

	if (text == NULL)
		return 0;
	appendBinaryStringInfo(buf, text, strlen(text) + 1);
	return offset;
}

static SessionTexts
put_texts(StringInfo buf, List *texts)
{
	SessionTexts result = {0, buf->len};
	ListCell *cell;

	foreach(cell, texts)
	{
		(void) put_text(buf, lfirst(cell));
		result.n++;
	}
	return result;
}

/*
 * Call function(argument) -> text[] of an issuer option. Runs in a subtransaction, so an
 * error in it becomes a refused login and not a half-done one.
 */
static List *
call_context_function(const char *name, Datum argument, bool *answered)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool failed = false;
	volatile bool some = false;
	List *volatile ids = NIL;

	/* its queries run under nobody, until the login is through */
	session_announce();
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		Oid function = DatumGetObjectId(DirectFunctionCall1(regprocedurein, CStringGetDatum(name)));
		FmgrInfo flinfo;
		LOCAL_FCINFO(fcinfo, 1);
		Datum result;

		if (get_func_rettype(function) != TEXTARRAYOID)
			ereport(ERROR,
					errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("context function must return text[]"));
		fmgr_info(function, &flinfo);
		InitFunctionCallInfoData(*fcinfo, &flinfo, 1, DEFAULT_COLLATION_OID, NULL, NULL);
		fcinfo->args[0].value = argument;
		fcinfo->args[0].isnull = false;
		/* the caller needs EXECUTE, as if it had written the call itself */
		compat_check_execute(function);
		result = FunctionCallInvoke(fcinfo);
		if (!fcinfo->isnull)
		{
			Datum *elements;
			bool *nulls;
			int n;
			List *list = NIL;

			deconstruct_array(DatumGetArrayTypeP(result),
							  TEXTOID,
							  -1,
							  false,
							  TYPALIGN_INT,
							  &elements,
							  &nulls,
							  &n);
			MemoryContextSwitchTo(caller);
			some = true;
			for (int i = 0; i < n && i < MAX_CONTEXT_PATIENTS; i++)
			{
				char *id;

				if (nulls[i])
					continue;
				id = TextDatumGetCString(elements[i]);
				if (fhir_id_is_valid(id, strlen(id)))
					list = lappend(list, id);
			}
			ids = list;
		}
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		failed = true;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	if (failed)
		jose_raise(JOSE_CONTEXT);
	*answered = some;
	return ids;
}

static List *
without_trailing_slash(List *list, const char *url)
{
	size_t len = strlen(url);

	if (len > 0 && url[len - 1] == '/')
		len--;
	return len == 0 ? list : lappend(list, pnstrdup(url, len));
}

/* The bases that the token opens: the accepted ones among its aud; base_urls without aud. */
static List *
opened_bases(const Issuer *issuer, const SessionClaims *claims)
{
	List *bases = NIL;

	for (int i = 0; i < claims->n_audience; i++)
		if (issuer->audience.null || issuer_texts_contain(&issuer->audience,
														  claims->audience[i],
														  strlen(claims->audience[i])))
			bases = without_trailing_slash(bases, claims->audience[i]);
	if (claims->n_audience == 0)
		for (int i = 0; i < issuer->base_urls.n; i++)
			bases = without_trailing_slash(bases, issuer->base_urls.values[i]);
	return bases;
}

static bool
is_user_type(const char *type, size_t len)
{
	static const char *const types[] = {
		"Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person"};

	for (size_t i = 0; i < lengthof(types); i++)
		if (strlen(types[i]) == len && memcmp(types[i], type, len) == 0)
			return true;
	return false;
}

/*
 * Is fhirUser a user of ours: Type/id, bare or under an accepted audience of the token or a
 * base_url (US-2, US-3)? Another audience of the issuer will not do where the token names its
 * own: a patient of one server would be read as another server's. *type gets the type, *patient
 * the id when it is a Patient.
 */
static bool
usable_fhir_user(const Issuer *issuer, const SessionClaims *claims, char **type, char **patient)
{
	const char *fhir_user = claims->fhir_user;
	const char *local = claims->fhir_user;
	const char *slash;
	List *bases = NIL;
	ListCell *cell;

	*type = NULL;
	*patient = NULL;
	if (fhir_user == NULL)
		return false;
	if (claims->n_audience > 0)
		bases = opened_bases(issuer, claims);
	else
		for (int i = 0; i < issuer->audience.n; i++)
			bases = without_trailing_slash(bases, issuer->audience.values[i]);
	for (int i = 0; i < issuer->base_urls.n; i++)
		bases = without_trailing_slash(bases, issuer->base_urls.values[i]);
	foreach(cell, bases)
	{
		size_t len = strlen(lfirst(cell));

		if (strncmp(fhir_user, lfirst(cell), len) == 0 && fhir_user[len] == '/')
		{
			local = fhir_user + len + 1;
			break;
		}
	}
	slash = strchr(local, '/');
	if (slash == NULL || !is_user_type(local, slash - local) ||
		!fhir_id_is_valid(slash + 1, strlen(slash + 1)))
		return false;
	*type = pnstrdup(local, slash - local);
	if (strcmp(*type, "Patient") == 0)
		*patient = pstrdup(slash + 1);
	return true;
}

static List *
with_aliases(const Issuer *issuer, List *ids)
{
	SessionIds all = {NIL, NULL};
	ListCell *cell;
	ListCell *alias;
	bool answered;

	if (issuer->patient_aliases == NULL)
		return ids;
	foreach(cell, ids)
		session_ids_add(&all, lfirst(cell), strlen(lfirst(cell)));
	foreach(cell, ids)
	{
		List *more = call_context_function(
			issuer->patient_aliases, CStringGetTextDatum(lfirst(cell)), &answered);

		CHECK_FOR_INTERRUPTS();
		foreach(alias, more)
			if (list_length(all.list) < MAX_CONTEXT_PATIENTS)
				session_ids_add(&all, lfirst(alias), strlen(lfirst(alias)));
	}
	return all.list;
}

/*
 * Whom user/ reaches for a user who is no Patient. user_patients, where it is given, is asked first
 * and wins for whom it answers, an array without elements too: a user who has lost the last patient
 * must not see all of them. Where it does not (NULL), user_sees_all opens all to the staff.
 */
static SessionReach
user_reach(const SessionSource *source, const char *type, List **patients)
{
	const Issuer *issuer = source->issuer;
	bool answered = false;

	if (issuer->user_patients != NULL)
		*patients =
			call_context_function(issuer->user_patients, JsonbPGetDatum(source->claims), &answered);
	if (!answered && issuer->user_sees_all &&
		issuer_texts_contain(&issuer->staff_types, type, strlen(type)))
		return REACH_ALL;
	return REACH_PATIENTS;
}

Session *
session_build(const SessionSource *source)
{
	const Issuer *issuer = source->issuer;
	SessionClaims claims;
	StringInfoData buf;
	Session head;
	Session *session;
	JoseStatus status;
	char *scope_text;
	List *ignored = NIL;
	List *patients = NIL;
	List *user_patients = NIL;
	List *audience = NIL;
	char *user_type;
	char *user_as_patient;
	char *grants;
	bool user_usable;
	bool named_several;

	status = session_claims_read(issuer, source->claims, &claims);
	if (status != JOSE_OK)
		jose_raise(status);

	memset(&head, 0, sizeof(head));
	head.magic = SESSION_MAGIC;
	head.expires_at = source->times.has_exp ? source->times.exp : DT_NOEND;
	head.ends_at = source->times.has_exp ? source->times.exp + issuer->leeway_usecs : DT_NOEND;

	scope_text = session_scope_from_claim(
		claims.scope, claims.scope_malformed, issuer->levels, &grants, &ignored);

	/* patient/ */
	user_usable = usable_fhir_user(issuer, &claims, &user_type, &user_as_patient);
	/* a claim that names no one patient is not made up for (OC-58) */
	if (!claims.has_patient_claim && issuer->patient_from_fhir_user && user_as_patient != NULL)
	{
		claims.n_patients = 1;
		claims.patients[0] = user_as_patient;
	}
	named_several = claims.n_patients > 1;
	for (int i = 0; i < claims.n_patients; i++)
		patients = lappend(patients, claims.patients[i]);
	patients = with_aliases(issuer, patients);
	head.reach[SCOPE_LEVEL_PATIENT] = patients == NIL ? REACH_NOTHING : REACH_PATIENTS;

	/* user/ */
	head.reach[SCOPE_LEVEL_USER] = REACH_NOTHING;
	if (user_as_patient != NULL)
	{
		head.reach[SCOPE_LEVEL_USER] = REACH_PATIENTS;
		user_patients = with_aliases(issuer, list_make1(user_as_patient));
	}
	else if (user_usable)
		head.reach[SCOPE_LEVEL_USER] = user_reach(source, user_type, &user_patients);
	head.reach[SCOPE_LEVEL_SYSTEM] = REACH_ALL;

	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, (char *) &head, sizeof(head));
	head.claims = MAXALIGN(buf.len);
	while (buf.len < head.claims)
		appendStringInfoChar(&buf, '\0');
	appendBinaryStringInfo(&buf, (char *) source->claims, VARSIZE(source->claims));
	head.issuer = put_text(&buf, issuer->issuer);
	head.subject = put_text(&buf, claims.subject);
	head.client_id = put_text(&buf, claims.client_id);
	head.jti = put_text(&buf, claims.jti);
	head.patient = named_several || claims.n_patients == 0 ? 0 : put_text(&buf, claims.patients[0]);
	head.encounter = put_text(&buf, claims.encounter);
	head.fhir_user = put_text(&buf, claims.fhir_user);
	head.scope = put_text(&buf, scope_text);
	head.grants = put_text(&buf, grants);
	head.key_thumbprint = put_text(&buf, source->key_thumbprint);
	head.patients = put_texts(&buf, patients);
	head.user_patients = put_texts(&buf, user_patients);
	for (int i = 0; i < claims.n_audience; i++)
		audience = lappend(audience, claims.audience[i]);
	head.audience = put_texts(&buf, audience);
	head.bases = put_texts(&buf, opened_bases(issuer, &claims));
	head.ignored = put_texts(&buf, ignored);
	head.ignored.n /= 2;
	head.size = buf.len;
	session = (Session *) buf.data;
	memcpy(session, &head, sizeof(head));
	return session;
}
