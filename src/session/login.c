/*
 * src/session/login.c
 *		smart.login(), assume(), set_interaction(), logout().
 *
 * A login that is refused, for whatever reason, also ends the session that was there: the
 * floor is raised first and lowered again only after the new session is in force.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/portal.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "session/log_mask.h"
#include "session/revocation.h"
#include "session/session.h"
#include "session/stat.h"
#include "session/trail.h"
#include "session/verify.h"

PG_FUNCTION_INFO_V1(smart_login);
PG_FUNCTION_INFO_V1(smart_assume);
PG_FUNCTION_INFO_V1(smart_set_interaction);
PG_FUNCTION_INFO_V1(smart_logout);

/* What an audit trail may say of a login that is under way; see src/session/trail.h. */
typedef struct LoginAttempt
{
	const Issuer *issuer; /* held; NULL: not known */
	Jsonb *claims;		  /* NULL: nobody signed them */
} LoginAttempt;

static LoginAttempt *attempt = NULL;
static bool login_running = false;
static bool logged_out = false; /* meanwhile */

/* As SET LOCAL outside a transaction: what was set is gone at once. */
static void
warn_outside_transaction(const char *function, const char *detail)
{
	if (IsTransactionBlock() || IsSubTransaction())
		return;
#ifdef XACT_FLAGS_PIPELINING
	if (MyXactFlags & XACT_FLAGS_PIPELINING)
		return;
#endif
	/* a DO block or a procedure goes on in the same transaction */
	if (ActivePortal != NULL && ActivePortal->commandTag != CMDTAG_SELECT)
		return;
	ereport(WARNING,
			errcode(ERRCODE_NO_ACTIVE_SQL_TRANSACTION),
			errmsg("%s can only be used in transaction blocks", function),
			errdetail("%s", detail),
			errhint("Start with BEGIN, or call smart.login() with local => false."),
			errhidestmt(true));
}

static void
parse_interaction(FunctionCallInfo fcinfo, int arg, int32 *interaction, int32 *name)
{
	char *given = PG_ARGISNULL(arg) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(arg));

	if (!session_interaction_parse(given, interaction, name))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid value for parameter \"%s\"", "interaction"),
				errhint("Valid values are read, vread, history, search, create, update, patch, "
						"delete and NULL."),
				errhidestmt(true),
				err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
				err_generic_string(PG_DIAG_CONSTRAINT_NAME, "invalid_parameter"));
}

/* Everything that both ways of logging in check before they look at their input. */
static void
begin_login(void)
{
	if (login_running)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("a login is already running"),
				errdetail("A context function of an issuer cannot log in."),
				errhidestmt(true));
	logged_out = false;
	if (session_has_held_cursor())
		session_refuse_for(JOSE_HELD_CURSOR, NULL);
}

static void
put_in_force(Session *session, uint64 unrevoked_at, bool local, int32 interaction, int32 name,
			 uint64 floor)
{
	session->generation = session_next_generation();
	session_note_unrevoked(session, unrevoked_at);
	session->interaction = interaction;
	session->interaction_name = name;
	/* what never expires must not outlive the transaction */
	session_set(session, local || session->ends_at == DT_NOEND);
	if (!logged_out)
		session_restore_floor(floor);
	stat_count(STAT_LOGINS);
}

static void
note_attempt(const SessionSource *source)
{
	if (attempt == NULL)
		return;
	attempt->issuer = source->issuer;
	attempt->claims = source->claims;
}

/* Verify and build, with the issuer cache held while context functions may run queries. */
static Session *
session_from_token(const char *token, size_t len, const unsigned char *digest, uint64 *unrevoked_at)
{
	SessionSource source = {0};
	SessionFinding finding = {0};
	Session *volatile session = NULL;

	source.issuer_epoch = issuer_epoch();
	issuer_hold();
	login_running = true;
	PG_TRY();
	{
		bool verified = session_verify_token(token, len, &source, &finding);

		note_attempt(&source);
		if (verified)
		{
			session = session_build(&source);
			*unrevoked_at = revocation_epoch();
			if (revocation_meets(session))
				session_refused(&finding, JOSE_REVOKED, NULL, NULL);
			else
				session_cache_store(digest, &source, session, *unrevoked_at);
		}
	}
	PG_FINALLY();
	{
		login_running = false;
		issuer_release();
	}
	PG_END_TRY();
	if (finding.status != JOSE_OK || session == NULL)
		session_refuse(&finding);
	return session;
}

static void
add_finding(List **findings, const char *step, JoseStatus status, const char *expected,
			const char *found)
{
	SessionFinding *finding = palloc0(sizeof(SessionFinding));

	finding->step = step;
	finding->asked = true;
	finding->status = status;
	finding->expected = expected;
	finding->found = found;
	*findings = lappend(*findings, finding);
}

/* Its context functions run, as in a login; what one of them raises is a finding. */
static Session *
build_or_tell(const SessionSource *source, List **findings)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Session *volatile session = NULL;
	ErrorData *volatile fault = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		session = session_build(source);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		fault = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	if (fault != NULL && fault->sqlerrcode != ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)
		ReThrowError(fault);
	if (source->issuer->patient_aliases != NULL || source->issuer->user_patients != NULL)
		add_finding(findings,
					"context functions",
					fault == NULL ? JOSE_OK : JOSE_CONTEXT,
					"no error",
					fault == NULL
						? "no error"
						: psprintf("%s; the server log has its own error",
								   fault->detail != NULL ? fault->detail : fault->message));
	return session;
}

Session *
session_rehearse(const char *token, size_t len, const char *issuer_name, List **findings)
{
	uint64 floor;
	SessionSource source = {0};
	SessionVerification v;
	Session *volatile session = NULL;

	if (login_running)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("a login is already running"));
	source.issuer_epoch = issuer_epoch();
	floor = session_raise_floor();
	logged_out = false;
	issuer_hold();
	login_running = true;
	PG_TRY();
	{
		*findings = session_verify_whole(token, len, issuer_name, &v);
		/* claims of an unknown hand are shown to no function */
		if (v.signed_by_key && v.has_read)
		{
			source.issuer = v.issuer;
			source.claims = v.claims;
			source.times = v.times;
			source.typ = v.jws.typ;
			source.algorithm = v.jws.algorithm;
			source.key_thumbprint = jose_key_thumbprint(v.key);
			session = build_or_tell(&source, findings);
		}
		if (session != NULL)
			add_finding(findings,
						"revocation",
						revocation_meets(session) ? JOSE_REVOKED : JOSE_OK,
						"not in smart.revocation",
						revocation_meets(session) ? "revoked" : "not revoked");
	}
	PG_FINALLY();
	{
		login_running = false;
		issuer_release();
		/* whoever was logged in is again, unless a context function logged out */
		if (!logged_out)
			session_restore_floor(floor);
	}
	PG_END_TRY();
	return session;
}

static void
log_in(FunctionCallInfo fcinfo)
{
	bool local = PG_ARGISNULL(1) || PG_GETARG_BOOL(1);
	uint64 floor;
	unsigned char digest[SESSION_DIGEST_LENGTH];
	int32 interaction;
	int32 name;
	text *token;
	Session *session;
	uint64 unrevoked_at = 0;

	log_mask_activity();
	session_check_may_change();
	floor = session_raise_floor();
	begin_login();
	parse_interaction(fcinfo, 2, &interaction, &name);
	if (PG_ARGISNULL(0))
		session_refuse_for(JOSE_MALFORMED, "The token is NULL.");
	/* look at the size before anything is decompressed or copied */
	if (toast_raw_datum_size(PG_GETARG_DATUM(0)) > JOSE_MAX_TOKEN_BYTES + VARHDRSZ)
		session_refuse_for(JOSE_TOO_LARGE, NULL);
	token = PG_GETARG_TEXT_PP(0);
	session_digest(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), digest);
	session = session_cache_find(digest, &unrevoked_at);
	if (session != NULL)
		stat_count(STAT_CACHE_HITS);
	else
		session =
			session_from_token(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), digest, &unrevoked_at);
	put_in_force(session, unrevoked_at, local, interaction, name, floor);
	if (local)
		warn_outside_transaction("smart.login()", "The session ends with this statement.");
}

static void
assume(FunctionCallInfo fcinfo)
{
	bool local = PG_ARGISNULL(2) || PG_GETARG_BOOL(2);
	uint64 floor;
	SessionSource source = {0};
	SessionFinding finding = {0};
	Session *volatile session = NULL;
	volatile uint64 unrevoked_at = 0;
	int32 interaction;
	int32 name;

	log_mask_activity();
	session_check_may_change();
	floor = session_raise_floor();
	begin_login();
	parse_interaction(fcinfo, 3, &interaction, &name);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		session_refuse_for(JOSE_MALFORMED, "The claims or the issuer are NULL.");
	source.issuer_epoch = issuer_epoch();
	issuer_hold();
	login_running = true;
	PG_TRY();
	{
		const Issuer *issuer = issuer_lookup(text_to_cstring(PG_GETARG_TEXT_PP(1)));

		if (issuer == NULL)
			session_refused(
				&finding,
				JOSE_UNKNOWN_ISSUER,
				NULL,
				"smart.add_issuer() registers an issuer; smart.issuer lists those that are known.");
		else
		{
			bool verified = session_verify_claims(PG_GETARG_JSONB_P(0), issuer, &source, &finding);

			note_attempt(&source);
			if (verified)
			{
				session = session_build(&source);
				unrevoked_at = revocation_epoch();
				if (revocation_meets(session))
					session_refused(&finding, JOSE_REVOKED, NULL, NULL);
			}
		}
	}
	PG_FINALLY();
	{
		login_running = false;
		issuer_release();
	}
	PG_END_TRY();
	if (finding.status != JOSE_OK || session == NULL)
		session_refuse(&finding);
	put_in_force(session, unrevoked_at, local, interaction, name, floor);
	if (local || session->ends_at == DT_NOEND)
		warn_outside_transaction("smart.assume()", "The session ends with this statement.");
}

/* An error ends the attempt: told with what may be believed of it. */
static void
tell_refusal(void)
{
	TrailRefusal refusal = {0};
	SessionClaims claims;
	ErrorData *error = CopyErrorData();

	refusal.sqlstate = error->sqlerrcode;
	if (error->schema_name != NULL && strcmp(error->schema_name, "smart") == 0)
		refusal.rule = error->constraint_name;
	if (attempt->issuer != NULL)
	{
		refusal.issuer = pstrdup(attempt->issuer->issuer);
		if (attempt->claims != NULL)
		{
			/* what cannot be used of them is absent */
			(void) session_claims_read(attempt->issuer, attempt->claims, &claims);
			refusal.claims = &claims;
		}
	}
	trail->refused(&refusal);
}

static void
run_or_tell(FunctionCallInfo fcinfo, void (*function)(FunctionCallInfo), LoginAttempt *this)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		function(fcinfo);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		attempt = this;
		tell_refusal();
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* Log in, and tell what came of it. */
static Datum
log_in_told(FunctionCallInfo fcinfo, void (*function)(FunctionCallInfo))
{
	LoginAttempt this = {0};
	LoginAttempt *outer = attempt;

	if (!trail_on)
	{
		function(fcinfo);
		PG_RETURN_VOID();
	}
	issuer_hold();
	attempt = &this;
	PG_TRY();
	{
		run_or_tell(fcinfo, function, &this);
	}
	PG_FINALLY();
	{
		attempt = outer;
		issuer_release();
	}
	PG_END_TRY();
	trail->login(session_current());
	PG_RETURN_VOID();
}

Datum
smart_login(PG_FUNCTION_ARGS)
{
	return log_in_told(fcinfo, log_in);
}

const Session *
session_log_in(const char *token, size_t len)
{
	LOCAL_FCINFO(fcinfo, 3);
	text *argument = cstring_to_text_with_len(token, (int) len);

	InitFunctionCallInfoData(*fcinfo, NULL, 3, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = PointerGetDatum(argument);
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = BoolGetDatum(false);
	fcinfo->args[1].isnull = false;
	fcinfo->args[2].isnull = true;
	PG_TRY();
	{
		(void) smart_login(fcinfo);
	}
	PG_FINALLY();
	{
		explicit_bzero(argument, VARSIZE(argument));
	}
	PG_END_TRY();
	return session_current();
}

Datum
smart_assume(PG_FUNCTION_ARGS)
{
	return log_in_told(fcinfo, assume);
}

/*
 * The same session with another interaction. It keeps its generation, so cursors stay with
 * it, and its scope: the setting is changed as SET LOCAL would.
 */
Datum
smart_set_interaction(PG_FUNCTION_ARGS)
{
	const Session *session = session_checked();
	Session *copy;
	int32 interaction;
	int32 name;

	session_check_may_change();
	parse_interaction(fcinfo, 0, &interaction, &name);
	if (session == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("nobody is logged in"),
				errhint("Call smart.login() first."),
				err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
				err_generic_string(PG_DIAG_CONSTRAINT_NAME, "no_session"));
	copy = palloc(session->size);
	memcpy(copy, session, session->size);
	copy->interaction = interaction;
	copy->interaction_name = name;
	session_set(copy, true);
	warn_outside_transaction("smart.set_interaction()",
							 "The interaction is declared for this statement only.");
	PG_RETURN_VOID();
}

Datum
smart_logout(PG_FUNCTION_ARGS)
{
	session_check_may_change();
	/* called by a context function: no rollback of the login may bring the former session back */
	logged_out = login_running;
	if (trail_on && session_current() != NULL)
		trail->logout(session_current());
	session_end();
	PG_RETURN_VOID();
}
