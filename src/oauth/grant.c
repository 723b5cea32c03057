/*
 * src/oauth/grant.c
 *		Grants: what one approval gave, whether it still holds, and how it ends.
 *
 * Rows of grants are never changed by what ends them, and refreshing changes none either. So a
 * withdrawal has nothing to wait for, and a transaction that somebody holds open cannot keep it
 * from taking effect: what that transaction commits later, an approval or a refresh token, is of
 * an ended grant, or older than the withdrawal.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "oauth/configuration.h"
#include "oauth/grant.h"
#include "oauth/secret.h"
#include "session/issuer.h"
#include "session/revocation.h"

OauthGrant *
grant_read(const StoreRow *row)
{
	OauthGrant *grant = palloc0(sizeof(OauthGrant));

	grant->grant_id = store_text(row, GRANT_GRANT_ID);
	grant->client_id = store_text(row, GRANT_CLIENT_ID);
	grant->sub = store_text(row, GRANT_SUB);
	grant->session = store_text(row, GRANT_SESSION);
	grant->patient = store_text(row, GRANT_PATIENT);
	grant->encounter = store_text(row, GRANT_ENCOUNTER);
	grant->fhir_user = store_text(row, GRANT_FHIR_USER);
	grant->audience = store_text(row, GRANT_AUDIENCE);
	grant->scope = store_text(row, GRANT_SCOPE);
	grant->context = store_jsonb(row, GRANT_CONTEXT);
	grant->refresh = store_text(row, GRANT_REFRESH);
	grant->auth_time = store_time(row, GRANT_AUTH_TIME);
	grant->granted_at = store_time(row, GRANT_GRANTED_AT);
	grant->ends_at = row->nulls[GRANT_ENDS_AT] ? DT_NOEND : store_time(row, GRANT_ENDS_AT);
	grant->expires_at = store_time(row, GRANT_EXPIRES_AT);
	return grant;
}

OauthGrant *
grant_find(const char *grant_id)
{
	StoreRow *row = store_find(STORE_GRANT_BY_ID, CStringGetTextDatum(grant_id));

	return row == NULL ? NULL : grant_read(row);
}

bool
grant_id_is_ended(const char *grant_id)
{
	return store_find(STORE_GRANT_END_BY_GRANT, CStringGetTextDatum(grant_id)) != NULL;
}

static bool
fits(const StoreRow *ending, int column, const char *value)
{
	return ending->nulls[column] ||
		   (value != NULL && strcmp(store_text(ending, column), value) == 0);
}

/* Had its code been exchanged by then? */
static bool
was_exchanged(const char *grant_id, TimestampTz at)
{
	StoreScan *scan = store_scan_begin(STORE_CODE_BY_GRANT, CStringGetTextDatum(grant_id));
	StoreRow *row;
	bool exchanged = false;

	while ((row = store_scan_next(scan)) != NULL)
		exchanged = exchanged || (!row->nulls[CODE_USED_AT] && store_time(row, CODE_USED_AT) <= at);
	store_scan_end(scan);
	return exchanged;
}

/*
 * Withdrawn, or its session ended, while the approval was not committed yet. The end of a session
 * (no client in it) leaves alone what has nothing to do with the session any more.
 */
static bool
is_overtaken(const OauthGrant *grant)
{
	StoreScan *scan = store_scan_begin(STORE_ENDING_BY_SUB, CStringGetTextDatum(grant->sub));
	StoreRow *row;
	bool overtaken = false;

	while (!overtaken && (row = store_scan_next(scan)) != NULL)
		overtaken = fits(row, ENDING_CLIENT_ID, grant->client_id) &&
					fits(row, ENDING_PATIENT, grant->patient) &&
					fits(row, ENDING_SESSION, grant->session) &&
					grant->granted_at <= store_time(row, ENDING_ENDED_AT) &&
					(!row->nulls[ENDING_CLIENT_ID] ||
					 (grant->refresh != NULL && strcmp(grant->refresh, "online") == 0) ||
					 !was_exchanged(grant->grant_id, store_time(row, ENDING_ENDED_AT)));
	store_scan_end(scan);
	return overtaken;
}

bool
grant_is_live(const OauthGrant *grant, const OauthClient *client)
{
	return client->enabled && grant->granted_at > client->ended_at &&
		   !grant_id_is_ended(grant->grant_id) && !is_overtaken(grant);
}

/* Its access tokens; the last may be in an answer that is on its way. */
static void
revoke_access_tokens(const char *grant_id)
{
	Revocation revocation = {0};

	revocation.issuer = configuration_get()->issuer;
	revocation.grant_id = grant_id;
	revocation.has_until = true;
	revocation.until =
		GetCurrentTimestamp() +
		(CONFIGURATION_MAX_TOKEN_LIFETIME + ISSUER_MAX_LEEWAY_SECS + 60) * USECS_PER_SEC;
	revocation_add(&revocation);
}

void
grant_end(const char *grant_id)
{
	StoreRow *row = store_row(STORE_GRANT_END);
	TimestampTz now = GetCurrentTimestamp();
	int64 lifetime = Max(configuration_get()->offline_lifetime, SECS_PER_DAY);

	store_set_text(row, GRANT_END_GRANT_ID, grant_id);
	store_set(row, GRANT_END_ENDED_AT, TimestampTzGetDatum(now));
	/* as long as a refresh token of it can live, one that is not committed yet too */
	store_set(row,
			  GRANT_END_EXPIRES_AT,
			  TimestampTzGetDatum(
				  Max(grant_refreshable_until(grant_id, NULL), now + lifetime * USECS_PER_SEC)));
	store_insert(row);
	store_clean_sometimes(STORE_GRANT_END);
	revoke_access_tokens(grant_id);
}

void
grant_end_client(const OauthClient *client, const char *event)
{
	StoreScan *scan;
	StoreRow *row;
	List *grants = NIL;
	ListCell *cell;
	MemoryContext work;
	MemoryContext caller;

	client_add_event(client->client_id, event, secret_make_id());
	scan = store_scan_begin(STORE_GRANT_BY_CLIENT, CStringGetTextDatum(client->client_id));
	while ((row = store_scan_next(scan)) != NULL)
	{
		grants = lappend(grants, store_text(row, GRANT_GRANT_ID));
		store_free(row);
	}
	store_scan_end(scan);
	/* that they are over stands in the event; there may be a million of them */
	work = AllocSetContextCreate(CurrentMemoryContext, "smart_fhir grants", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(work);
	foreach(cell, grants)
	{
		revoke_access_tokens(lfirst(cell));
		MemoryContextReset(work);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(work);
	grant_end(client->grant_id);
}

TimestampTz
grant_refreshable_until(const char *grant_id, TimestampTz *used_at)
{
	StoreScan *scan = store_scan_begin(STORE_REFRESH_TOKEN_BY_GRANT, CStringGetTextDatum(grant_id));
	StoreRow *row;
	TimestampTz until = 0;

	while ((row = store_scan_next(scan)) != NULL)
	{
		if (used_at != NULL)
			*used_at = Max(*used_at, store_time(row, REFRESH_TOKEN_MADE_AT));
		until = Max(until, store_time(row, REFRESH_TOKEN_EXPIRES_AT));
	}
	store_scan_end(scan);
	return until;
}

/* A grant whose refresh token lives on gets its time. */
void
grant_clean_sometimes(void)
{
	List *rows;
	ListCell *cell;

	if (!store_cleans_now())
		return;
	rows = store_expired(STORE_GRANT);
	foreach(cell, rows)
	{
		StoreRow *row = lfirst(cell);
		TimestampTz until = grant_refreshable_until(store_text(row, GRANT_GRANT_ID), NULL);

		if (until > GetCurrentTimestamp())
		{
			store_set(row, GRANT_EXPIRES_AT, TimestampTzGetDatum(until));
			store_update(row);
		}
		else
			store_delete(row);
	}
}
