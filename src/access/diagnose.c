/*
 * src/access/diagnose.c
 *		smart.diagnose(): for an administrator, all that login() would find of a token.
 *
 * The checks are those of src/session, the decision that of access.c: here they are only told, with the
 * values. Logs nobody in.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "access/access.h"
#include "access/scope.h"
#include "compat.h"
#include "session/log_mask.h"
#include "session/verify.h"

PG_FUNCTION_INFO_V1(smart_diagnose);

/* Ids that one line lists. */
#define IDS_LISTED 10

static void
put(ReturnSetInfo *result, const char *step, int ok, const char *expected, const char *found)
{
	Datum values[4];
	bool nulls[4] = {false, ok < 0, expected == NULL, found == NULL};

	values[0] = CStringGetTextDatum(step);
	values[1] = BoolGetDatum(ok > 0);
	values[2] = expected == NULL ? (Datum) 0 : CStringGetTextDatum(expected);
	values[3] = found == NULL ? (Datum) 0 : CStringGetTextDatum(found);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
put_finding(ReturnSetInfo *result, const SessionFinding *finding)
{
	const char *found = finding->found;

	if (!finding->asked)
	{
		put(result, finding->step, -1, NULL, "not asked: what it looks at could not be read");
		return;
	}
	if (finding->status != JOSE_OK)
	{
		const char *detail =
			finding->detail != NULL ? finding->detail : jose_status_detail(finding->status);

		found = found == NULL || strcmp(found, detail) == 0 ? detail
															: psprintf("%s; %s", found, detail);
		if (finding->hint != NULL)
			found = psprintf("%s %s", found, finding->hint);
	}
	put(result, finding->step, finding->status == JOSE_OK, finding->expected, found);
}

static char *
list_ids(const Session *session, SessionTexts texts)
{
	StringInfoData out;
	const char *text = session_texts_first(session, texts);

	initStringInfo(&out);
	for (int i = 0; i < texts.n && i < IDS_LISTED; i++, text = session_texts_next(text))
		appendStringInfo(&out, "%s%s", i == 0 ? "" : ", ", text);
	if (texts.n > IDS_LISTED)
		appendStringInfo(&out, " and %d more", texts.n - IDS_LISTED);
	if (texts.n == 0)
		appendStringInfoString(&out, "nobody");
	return out.data;
}

static char *
letters_text(int letters)
{
	static const char names[] = "cruds";
	char *text = palloc0(sizeof(names));
	int n = 0;

	for (int i = 0; names[i] != '\0'; i++)
		if (letters & (SCOPE_C << i))
			text[n++] = names[i];
	return text;
}

/* Whom a level reaches, and whether anybody. */
static char *
level_text(const Session *session, ScopeLevel level)
{
	SessionTexts patients =
		level == SCOPE_LEVEL_PATIENT ? session->patients : session->user_patients;

	switch ((SessionReach) session->reach[level])
	{
		case REACH_ALL:
			return pstrdup("all");
		case REACH_PATIENTS:
			return psprintf("patient %s", list_ids(session, patients));
		case REACH_NOTHING:
			break;
	}
	return pstrdup(level == SCOPE_LEVEL_PATIENT ? "no patient in context" : "no usable fhirUser");
}

static const char *const level_names[] = {"patient/", "user/", "system/"};

/* One type that the scopes name, or that the session could see or change something of. */
static void
put_type(ReturnSetInfo *result, const Session *session, int type)
{
	const AccessGrants *grants =
		access_grants(session_text(session, session->grants), FHIR_R4, type);
	AccessTable table = {.version = FHIR_R4};
	StringInfoData whom;
	ScopeLevel at;
	bool named = false;
	int granted = 0;
	int possible = 0;

	for (int i = 0; i < grants->n; i++)
		named = named || strstr(grants->grants[i].text, "/*.") == NULL;
	initStringInfo(&whom);
	for (int level = SCOPE_LEVEL_PATIENT; level <= SCOPE_LEVEL_SYSTEM; level++)
	{
		if (grants->permissions[level] == 0)
			continue;
		granted |= grants->permissions[level];
		appendStringInfo(&whom,
						 "%s%s %s: %s",
						 whom.len == 0 ? "" : "; ",
						 level_names[level],
						 letters_text(grants->permissions[level]),
						 level_text(session, level));
	}
	for (int letter = SCOPE_C; letter <= SCOPE_S; letter <<= 1)
		if (access_type_reason(session, &table, type, letter, &at) == ACCESS_ALLOWED)
			possible |= letter;
	if (possible == 0 && !named)
		return;
	put(result,
		psprintf("sees %s", fhir_type_name(FHIR_R4, type)),
		possible != 0,
		psprintf("granted %s", letters_text(granted)),
		possible != 0 ? psprintf("%s (%s)", letters_text(possible), whom.data)
					  : psprintf("nothing (%s)", whom.data));
}

static void
put_session(ReturnSetInfo *result, const Session *session)
{
	const char *text = session_texts_first(session, session->ignored);
	int levels = 0;
	int n_types = fhir_type_count(FHIR_R4);

	for (int i = 0; i < session->ignored.n; i++)
	{
		const char *reason = session_texts_next(text);

		put(result, "ignored scope", 0, reason, text);
		text = session_texts_next(reason);
	}
	text = session_texts_first(session, session->ignored_claims);
	for (int i = 0; i < session->ignored_claims.n; i++, text = session_texts_next(text))
		put(result, "ignored claim", 0, NULL, text);
	for (int type = 0; type < n_types; type++)
	{
		const AccessGrants *grants =
			access_grants(session_text(session, session->grants), FHIR_R4, type);

		for (int level = SCOPE_LEVEL_PATIENT; level <= SCOPE_LEVEL_SYSTEM; level++)
			if (grants->permissions[level] != 0)
				levels |= 1 << level;
	}
	for (int level = SCOPE_LEVEL_PATIENT; level <= SCOPE_LEVEL_SYSTEM; level++)
		if (levels & (1 << level))
			put(result,
				level_names[level],
				session->reach[level] != REACH_NOTHING,
				level == SCOPE_LEVEL_PATIENT ? "a patient in context"
				: level == SCOPE_LEVEL_USER	 ? "a fhirUser of this server"
											 : NULL,
				level_text(session, level));
	if (levels == 0)
		put(result,
			"scope",
			0,
			"a scope that opens a FHIR type",
			session_text(session, session->scope));
	for (int type = 0; type < n_types; type++)
		put_type(result, session, type);
}

Datum
smart_diagnose(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	List *findings;
	ListCell *cell;
	Session *session;
	text *token;

	log_mask_activity();
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
	{
		put(result, "size", 0, "a token", "NULL");
		PG_RETURN_NULL();
	}
	/* look at the size before anything is decompressed or copied */
	if (toast_raw_datum_size(PG_GETARG_DATUM(0)) > JOSE_MAX_TOKEN_BYTES + VARHDRSZ)
	{
		put(result,
			"size",
			0,
			psprintf("at most %d bytes", JOSE_MAX_TOKEN_BYTES),
			jose_status_detail(JOSE_TOO_LARGE));
		PG_RETURN_NULL();
	}
	token = PG_GETARG_TEXT_PP(0);
	session = session_rehearse(VARDATA_ANY(token),
							   VARSIZE_ANY_EXHDR(token),
							   PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)),
							   &findings);
	foreach(cell, findings)
		put_finding(result, lfirst(cell));
	if (session != NULL)
		put_session(result, session);
	else
		put(result,
			"session",
			-1,
			NULL,
			"none: the signature was not good, or a context function failed, so nothing is "
			"believed");
	PG_RETURN_NULL();
}
