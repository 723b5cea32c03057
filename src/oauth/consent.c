/*
 * src/oauth/consent.c
 *		Consents: what a person has agreed to before, and how it is withdrawn.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "oauth/configuration.h"
#include "oauth/consent.h"
#include "oauth/grant.h"
#include "oauth/store.h"
#include "session/trail.h"

PG_FUNCTION_INFO_V1(smart_oauth_withdraw_grant);
PG_FUNCTION_INFO_V1(smart_oauth_end_user_session);

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static List *
grants_of(const char *sub)
{
	List *grants = NIL;
	ListCell *cell;

	foreach(cell, store_find_all(STORE_GRANT_BY_SUB, CStringGetTextDatum(sub)))
		grants = lappend(grants, grant_read(lfirst(cell)));
	return grants;
}

char *
consent_scope(const char *sub, const OauthClient *client, const char *patient,
			  const char *fhir_user)
{
	TimestampTz now = GetCurrentTimestamp();
	StringInfoData buf;
	ListCell *cell;

	initStringInfo(&buf);
	foreach(cell, grants_of(sub))
	{
		OauthGrant *grant = lfirst(cell);

		if (strcmp(grant->client_id, client->client_id) != 0 || !same(grant->patient, patient) ||
			!same(grant->fhir_user, fhir_user) || grant->granted_at <= client->changed_at ||
			(grant->expires_at <= now && grant_refreshable_until(grant->grant_id, NULL) <= now) ||
			!grant_is_live(grant, client))
			continue;
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? " " : "", grant->scope);
	}
	return buf.data;
}

/*
 * For approvals that are not committed yet: grant.c compares them with this, as long as a grant that
 * it meets can count as a consent.
 */
static void
add_ending(const char *sub, const char *client_id, const char *patient, const char *session)
{
	const OauthConfiguration *c = configuration_get();
	TimestampTz now = GetCurrentTimestamp();
	int64 kept = Max(c->online_lifetime, SECS_PER_HOUR);
	StoreRow *row = store_row(STORE_ENDING);

	store_set_text(row, ENDING_SUB, sub);
	store_set_text(row, ENDING_CLIENT_ID, client_id);
	store_set_text(row, ENDING_PATIENT, patient);
	store_set_text(row, ENDING_SESSION, session);
	store_set(row, ENDING_ENDED_AT, TimestampTzGetDatum(now));
	/* the end of a session (no client) meets nothing with offline_access but open codes */
	if (client_id != NULL)
		kept = Max(kept, c->offline_lifetime);
	store_set(row, ENDING_EXPIRES_AT, TimestampTzGetDatum(now + kept * USECS_PER_SEC));
	store_insert(row);
	store_clean_sometimes(STORE_ENDING);
}

static void
tell_withdrawal(const char *sub, const char *client_id, const char *patient)
{
	trail_grant(&(TrailGrant){.event = "withdraw",
							  .issuer = configuration_get()->issuer,
							  .client_id = client_id,
							  .subject = sub,
							  .patient = patient});
}

static char *
required(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("parameter \"%s\" must not be null", name));
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static char *
optional(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* smart.withdraw_grant(sub text, client_id text, patient text) -> void */
Datum
smart_oauth_withdraw_grant(PG_FUNCTION_ARGS)
{
	char *sub = required(fcinfo, 0, "sub");
	char *client_id = required(fcinfo, 1, "client_id");
	char *patient = optional(fcinfo, 2);
	const OauthClient *client = client_find(client_id);
	ListCell *cell;

	foreach(cell, grants_of(sub))
	{
		OauthGrant *grant = lfirst(cell);

		if (strcmp(grant->client_id, client_id) == 0 &&
			(patient == NULL || same(grant->patient, patient)) &&
			/* what ended with its client is revoked already */
			(client == NULL || grant->granted_at > client->ended_at) &&
			!grant_id_is_ended(grant->grant_id))
			grant_end(grant->grant_id);
	}
	add_ending(sub, client_id, patient, NULL);
	tell_withdrawal(sub, client_id, patient);
	PG_RETURN_VOID();
}

/* Has the grant a code that is still good? */
static bool
has_open_code(const char *grant_id)
{
	ListCell *cell;

	foreach(cell, store_find_all(STORE_CODE_BY_GRANT, CStringGetTextDatum(grant_id)))
	{
		StoreRow *code = lfirst(cell);

		if (code->nulls[CODE_USED_AT] && store_time(code, CODE_EXPIRES_AT) > GetCurrentTimestamp())
			return true;
	}
	return false;
}

/* smart.end_user_session(sub text, session text) -> void */
Datum
smart_oauth_end_user_session(PG_FUNCTION_ARGS)
{
	char *sub = required(fcinfo, 0, "sub");
	char *session = optional(fcinfo, 1);
	ListCell *cell;

	foreach(cell, grants_of(sub))
	{
		OauthGrant *grant = lfirst(cell);

		if ((session == NULL || same(grant->session, session)) &&
			((grant->refresh != NULL && strcmp(grant->refresh, "online") == 0) ||
			 has_open_code(grant->grant_id)) &&
			!grant_id_is_ended(grant->grant_id))
			grant_end(grant->grant_id);
	}
	add_ending(sub, NULL, NULL, session);
	tell_withdrawal(sub, NULL, NULL);
	PG_RETURN_VOID();
}
