/*
 * src/audit/session_events.c
 *		login, refused, logout, and what the authorization server did; the end of a session.
 *
 * Refusals of one rule beyond REFUSALS_A_SECOND are counted and told of together, so that nobody can
 * fill the log by them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "audit/events.h"
#include "audit/person.h"
#include "audit/record.h"
#include "audit/transaction.h"
#include "audit/unit.h"
#include "session/trail.h"

#define REFUSALS_A_SECOND 5

/* Rules that are counted apart; all further ones together. */
#define RULES 40

typedef struct RefusalCount
{
	char rule[48]; /* "" for an error that is none of ours */
	int sqlstate;
	TimestampTz since;
	int in_second;
	int64 dropped;
} RefusalCount;

static RefusalCount counts[RULES];
static int n_counts = 0;
static bool any_dropped = false;

static void
put_rule(AuditText *out, const char *rule, int sqlstate)
{
	if (*rule != '\0')
		text_member(out, "rule", rule);
	if (sqlstate != 0)
		text_member(out, "sqlstate", unpack_sql_state(sqlstate));
}

static void
tell_dropped(RefusalCount *count)
{
	AuditText *out;
	int64 dropped = count->dropped;

	if (dropped == 0)
		return;
	count->dropped = 0;
	out = record_begin("refused");
	put_rule(out, count->rule, count->sqlstate);
	text_number(out, "count", dropped);
	record_write();
}

static void
tell_all_dropped(bool at_once)
{
	TimestampTz now = GetCurrentTimestamp();

	any_dropped = false;
	for (int i = 0; i < n_counts; i++)
	{
		if (at_once || now - counts[i].since >= USECS_PER_SEC || now < counts[i].since)
			tell_dropped(&counts[i]);
		else
			any_dropped |= counts[i].dropped > 0;
	}
}

static RefusalCount *
count_of(const char *rule, int sqlstate)
{
	int i;

	for (i = 0; i < n_counts; i++)
		if (counts[i].sqlstate == sqlstate && strcmp(counts[i].rule, rule) == 0)
			return &counts[i];
	if (n_counts == RULES)
		return &counts[RULES - 1];
	n_counts++;
	strlcpy(counts[i].rule, rule, sizeof(counts[i].rule));
	counts[i].sqlstate = sqlstate;
	return &counts[i];
}

/* Is it to be told of, or did it only count? */
static bool
count_refusal(const char *rule, int sqlstate)
{
	RefusalCount *count = count_of(rule, sqlstate);
	TimestampTz now = GetCurrentTimestamp();

	if (now - count->since >= USECS_PER_SEC || now < count->since)
	{
		tell_dropped(count);
		count->since = now;
		count->in_second = 0;
	}
	if (++count->in_second <= REFUSALS_A_SECOND)
		return true;
	count->dropped++;
	any_dropped = true;
	return false;
}

static void
tell_refused(const TrailRefusal *refusal)
{
	const char *rule = refusal->rule == NULL ? "" : refusal->rule;
	AuditText *out;

	if (!count_refusal(rule, refusal->sqlstate))
		return;
	out = record_begin("refused");
	if (refusal->claims != NULL)
		person_of_claims(out, refusal->issuer, refusal->claims);
	else
	{
		text_member(out, "issuer", refusal->issuer);
		text_member(out, "client_id", refusal->client_id);
	}
	text_member(out, "endpoint", refusal->endpoint);
	put_rule(out, rule, refusal->sqlstate);
	record_write();
}

static void
tell_login(const Session *session)
{
	AuditText *out = record_begin("login");

	person_of_session(out, session, true);
	if (session->key_thumbprint == 0)
		text_true(out, "assumed");
	record_write();
}

static void
tell_logout(const Session *session)
{
	AuditText *out = record_begin("logout");

	person_of_session(out, session, true);
	record_write();
}

static void
tell_grant(const TrailGrant *grant)
{
	AuditPerson person = {
		.issuer = grant->issuer,
		.client_id = grant->client_id,
		.subject = grant->subject,
		.fhir_user = grant->fhir_user,
		.encounter = grant->encounter,
		.jti = grant->jti,
		.scope = grant->scope,
	};
	AuditText *out = record_begin(grant->event);
	AuditPatients patients;

	person_members(out, &person);
	patients_begin(&patients, out);
	if (grant->patient != NULL)
		patients_add(&patients, grant->patient);
	patients_end(&patients);
	text_member(out, "grant_type", grant->grant_type);
	text_member(out, "grant_id", grant->grant_id);
	if (unit_running() != NULL)
		text_number(out, "statement", unit_statement(unit_running()));
	transaction_members(out);
	record_write();
	transaction_note_write(unit_running() != NULL ? unit_statement(unit_running()) : 0);
}

static const Trail listener = {tell_login, tell_refused, tell_logout, tell_grant};

static void
end_session(int code, Datum arg)
{
	AuditText *out;

	tell_all_dropped(true);
	out = record_begin("end");
	text_number(out, "last", record_count() + 1);
	record_write();
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (any_dropped && (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT))
		tell_all_dropped(false);
}

void
session_events_init(void)
{
	trail = &listener;
	record_at_exit(end_session);
	RegisterXactCallback(at_transaction_end, NULL);
}
