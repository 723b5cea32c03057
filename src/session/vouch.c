/*
 * src/session/vouch.c
 *		Does its issuer still vouch for a session?
 *
 * Asked at each statement, answered anew only when smart.issuer may have changed since: then the
 * token's claims are put to the issuer as it is now, by the checks of a login and by what a login would
 * give. Whatever it would not give any more ends the session. smart.revocation is looked into in the same
 * way.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "session/revocation.h"
#include "session/verify.h"

/* The last session that was asked about again, and when. */
static uint64 vouched_issuer_epoch = 0;
static uint64 vouched_generation = 0;
static TimestampTz vouched_until = DT_NOEND;
static TimestampTz vouched_refuse_after = DT_NOEND;

/* And the last one that was seen not to be revoked. */
static uint64 unrevoked_epoch = 0;
static uint64 unrevoked_generation = 0;

void
session_note_unrevoked(const Session *session, uint64 revocation_epoch)
{
	unrevoked_epoch = revocation_epoch;
	unrevoked_generation = session->generation;
}

/* Has the token been revoked? Asked again only after smart.revocation may have changed. */
static bool
is_revoked(const Session *session)
{
	uint64 now = revocation_epoch();

	if (now == unrevoked_epoch && session->generation == unrevoked_generation)
		return false;
	if (revocation_meets(session))
		return true;
	session_note_unrevoked(session, now);
	return false;
}

static bool
ask_again(const Session *session, SessionFinding *finding)
{
	const Issuer *issuer = issuer_lookup(session_text(session, session->issuer));
	const char *thumbprint = session_text(session, session->key_thumbprint);
	SessionSource source = {0};

	if (issuer == NULL)
	{
		session_refused(finding, JOSE_UNKNOWN_ISSUER, NULL, NULL);
		return false;
	}
	if (thumbprint != NULL &&
		(issuer->keys == NULL || !jose_keyset_has_thumbprint(issuer->keys, thumbprint)))
	{
		session_refused(finding,
						JOSE_REVOKED,
						"The key that signed the token is no longer one of its issuer's.",
						NULL);
		return false;
	}
	if (!session_verify_again(session, issuer, &source, finding))
		return false;
	if (!session_is_still_given(session, &source))
	{
		session_refused(
			finding,
			JOSE_REVOKED,
			"The issuer's options have changed, and would not give this session any more.",
			"Log in again.");
		return false;
	}
	vouched_refuse_after = thumbprint == NULL ? DT_NOEND : issuer->refuse_after;
	vouched_until = source.times.has_exp ? source.times.exp + issuer->leeway_usecs : DT_NOEND;
	return true;
}

/* Have the issuer's keys, which are fetched, come lately? */
static bool
is_fresh(TimestampTz refuse_after, SessionFinding *finding)
{
	if (refuse_after == DT_NOEND || GetCurrentTimestamp() < refuse_after)
		return true;
	session_refused(finding, JOSE_STALE_KEYS, NULL, NULL);
	return false;
}

/* The same, when it was not asked since smart.issuer changed; the finding is the caller's memory. */
static bool
is_given(const Session *session, SessionFinding *finding)
{
	uint64 now = issuer_epoch();
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	bool given;

	if (now == session->issuer_epoch)
		return is_fresh(session->refuse_after, finding);
	if (now == vouched_issuer_epoch && session->generation == vouched_generation)
	{
		/* the leeway may be less than it was */
		if (vouched_until == DT_NOEND || GetCurrentTimestamp() < vouched_until)
			return is_fresh(vouched_refuse_after, finding);
		session_refused(finding, JOSE_EXPIRED, NULL, NULL);
		return false;
	}
	context = AllocSetContextCreate(caller, "smart_fhir vouching", ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(context);
	given = ask_again(session, finding);
	MemoryContextSwitchTo(caller);
	if (finding->detail != NULL)
		finding->detail = pstrdup(finding->detail);
	if (finding->hint != NULL)
		finding->hint = pstrdup(finding->hint);
	MemoryContextDelete(context);
	if (given)
	{
		vouched_issuer_epoch = now;
		vouched_generation = session->generation;
	}
	return given;
}

bool
session_is_vouched(const Session *session, SessionFinding *finding)
{
	memset(finding, 0, sizeof(*finding));
	if (session->ends_at != DT_NOEND && GetCurrentTimestamp() >= session->ends_at)
		session_refused(finding, JOSE_EXPIRED, NULL, NULL);
	else if (is_given(session, finding) && is_revoked(session))
		session_refused(finding, JOSE_REVOKED, NULL, NULL);
	return finding->status == JOSE_OK;
}

JoseStatus
session_status(const Session *session)
{
	SessionFinding finding;

	/* A worker runs part of a statement that its leader let pass; that one may finish. */
	if (IsParallelWorker())
		return JOSE_OK;
	(void) session_is_vouched(session, &finding);
	return finding.status;
}

const Session *
session_checked(void)
{
	if (!IsParallelWorker())
		session_check_statement();
	return session_current();
}

void
session_check_statement(void)
{
	const Session *session = session_current();
	SessionFinding finding;

	if (session != NULL && !session_is_vouched(session, &finding))
		session_refuse(&finding);
}

const Session *
session_usable(void)
{
	const Session *session = session_current();

	return session != NULL && session_status(session) == JOSE_OK ? session : NULL;
}
