/*
 * src/session/connection.c
 *		The token that a connection was made with (src/session/validator.c), from there to its session.
 *
 * No hook of PostgreSQL stands between connecting and the first statement, so the first that is parsed logs in,
 * in its own transaction; statements that must stand first in a transaction are let pass before. Should that transaction
 * be rolled back, the session, which was set with it, is set again by the next statement: it belongs to the connection. That
 * ends with the first commit; with a logout, DISCARD ALL, RESET ALL or a refused login it ends for good.
 */
#include "postgres.h"

#include "access/xact.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "session/connection.h"
#include "session/log_mask.h"
#include "session/session.h"

typedef enum ConnectionState
{
	CONNECTION_NONE,   /* no token, or all is said of it */
	CONNECTION_TOKEN,  /* it waits for the first statement */
	CONNECTION_TRYING, /* that logs in with it */
	CONNECTION_LOGIN,  /* the session is set in a transaction that is not committed */
	CONNECTION_RESTORE /* and that was rolled back */
} ConnectionState;

static ConnectionState state = CONNECTION_NONE;
static char *kept_token = NULL;		 /* in TopMemoryContext */
static Session *kept_session = NULL; /* the same, of CONNECTION_LOGIN and _RESTORE */
static post_parse_analyze_hook_type next_post_parse_analyze_hook = NULL;

static void
wipe_token(void)
{
	if (kept_token == NULL)
		return;
	explicit_bzero(kept_token, strlen(kept_token));
	pfree(kept_token);
	kept_token = NULL;
}

static void
forget(void)
{
	state = CONNECTION_NONE;
	wipe_token();
	if (kept_session != NULL)
		pfree(kept_session);
	kept_session = NULL;
}

/* The setting was emptied, and not by a rollback. */
static void
note_reset(void)
{
	if (state == CONNECTION_LOGIN || state == CONNECTION_RESTORE)
		forget();
}

static void
note_end_of_transaction(XactEvent event, void *arg)
{
	if (state == CONNECTION_LOGIN && event == XACT_EVENT_ABORT)
		state = CONNECTION_RESTORE;
	/* an attempt that is over by then was refused */
	else if ((state == CONNECTION_LOGIN || state == CONNECTION_TRYING) &&
			 (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE ||
			  event == XACT_EVENT_ABORT))
		forget();
}

/* Once: whatever fails, note_end_of_transaction() wipes the token. */
static void
log_in(void)
{
	const Session *session;
	bool pushed = !ActiveSnapshotSet();

	state = CONNECTION_TRYING;
	/* utility statements are parsed without one */
	if (pushed)
		PushActiveSnapshot(GetTransactionSnapshot());
	session = session_log_in(kept_token, strlen(kept_token));
	if (pushed)
		PopActiveSnapshot();
	wipe_token();
	kept_session = MemoryContextAlloc(TopMemoryContext, session->size);
	memcpy(kept_session, session, session->size);
	state = CONNECTION_LOGIN;
}

static void
restore(void)
{
	if (!session_may_return(kept_session))
	{
		forget();
		return;
	}
	state = CONNECTION_LOGIN;
	session_set(kept_session, false);
}

/* BEGIN, SET TRANSACTION and their kin: what logs in may take a snapshot, which they must precede. */
static bool
must_stand_first(const Query *query)
{
	const Node *utility = query->utilityStmt;

	if (query->commandType != CMD_UTILITY)
		return false;
	return IsA(utility, TransactionStmt) ||
		   (IsA(utility, VariableSetStmt) &&
			((const VariableSetStmt *) utility)->kind == VAR_SET_MULTI);
}

static void
connection_post_parse_analyze(ParseState *pstate, Query *query, COMPAT_JUMBLE_STATE *jstate)
{
	if (next_post_parse_analyze_hook)
		next_post_parse_analyze_hook(pstate, query, jstate);
	if ((state == CONNECTION_TOKEN || state == CONNECTION_RESTORE) && !must_stand_first(query))
	{
		if (state == CONNECTION_TOKEN)
			log_in();
		else
			restore();
	}
}

void
connection_keep_token(const char *token)
{
	if (state != CONNECTION_NONE)
		return;
	kept_token = MemoryContextStrdup(TopMemoryContext, token);
	state = CONNECTION_TOKEN;
	session_on_reset(note_reset);
	RegisterXactCallback(note_end_of_transaction, NULL);
	next_post_parse_analyze_hook = post_parse_analyze_hook;
	post_parse_analyze_hook = connection_post_parse_analyze;
}
