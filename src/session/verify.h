/*
 * src/session/verify.h
 *		The checks of a token, one by one.
 *
 * Each rule has one home here: login(), assume(), diagnose() and the second look at a session
 * whose issuer changed all run the same checks.
 */
#ifndef SMART_FHIR_SESSION_VERIFY_H
#define SMART_FHIR_SESSION_VERIFY_H

#include "session/session.h"

/* What one check found. Texts without values, but for the last two. */
typedef struct SessionFinding
{
	const char *step;
	bool asked;			  /* false: what it looks at could not be read */
	JoseStatus status;	  /* JOSE_OK: passed */
	const char *detail;	  /* of a refusal; NULL: that of the status */
	const char *hint;	  /* NULL: none */
	const char *expected; /* for diagnose() alone, whose caller may see values; NULL: nothing */
	const char *found;
} SessionFinding;

/* Who asks, one bit each: a check says for whom it is. */
#define VERIFY_TOKEN 0x01  /* login(), diagnose() */
#define VERIFY_CLAIMS 0x02 /* assume() */
#define VERIFY_AGAIN 0x04  /* a session whose issuer changed */

/* What is verified, and what was found out on the way; the first members are given. */
typedef struct SessionVerification
{
	int mode; /* one VERIFY_* bit */
	bool assumed;
	bool tell; /* fill in what was expected and found */
	TimestampTz now;
	const char *token;
	size_t len;
	const char *issuer_name;				   /* NULL: the token's iss */
	const Issuer *(*lookup)(const char *name); /* NULL: smart.issuer */

	JoseStatus decoded; /* what jws_decode() said */
	JwsToken jws;
	Jsonb *claims;		  /* NULL: not readable */
	const Issuer *issuer; /* NULL: not known */
	const JoseKey *key;	  /* the one that fits */
	bool signed_by_key;	  /* the signature holds */
	bool has_times;
	JwtTimes times;
	bool has_read;
	SessionClaims read;
} SessionVerification;

/* What a check needs to be there before it can be asked. */
#define NEEDS_HEADER 0x01
#define NEEDS_CLAIMS 0x02
#define NEEDS_ISSUER 0x04
#define NEEDS_KEY 0x08
#define NEEDS_TIMES 0x10
#define NEEDS_READ 0x20

typedef struct SessionCheck
{
	const char *step;
	int modes; /* VERIFY_* bits */
	int needs; /* NEEDS_* bits */
	void (*ask)(SessionVerification *v, SessionFinding *finding);
} SessionCheck;

/* ---- src/session/check.c: the rules about claims, in their order ---- */

extern const SessionCheck session_claim_checks[];
extern const int session_n_claim_checks;

/* "a, b, c"; "none" for an empty list */
extern char *session_join(int n, char *const *values);
/* One of the claims as JSON text; NULL when it is absent. */
extern char *session_claim_json(Jsonb *claims, const char *name);
/* 26 h, 5 min 10 s */
extern char *session_duration(int64 usecs);

static inline void
session_refused(SessionFinding *finding, JoseStatus status, const char *detail, const char *hint)
{
	finding->status = status;
	finding->detail = detail;
	finding->hint = hint;
}

/* ---- src/session/verify.c ---- */

/*
 * Verify a token against its issuer's rules, or claims that somebody else has verified against those that smart.assume()
 * applies; *source gets what session_build() needs. False: *finding says which rule refuses it, and of *source
 * issuer is there when it is known, claims when the signature was good (else NULL).
 */
extern bool session_verify_token(const char *token, size_t len, SessionSource *source,
								 SessionFinding *finding);
extern bool session_verify_claims(Jsonb *claims, const Issuer *issuer, SessionSource *source,
								  SessionFinding *finding);
/* Would these claims of a session be accepted from the issuer as it is now? */
extern bool session_verify_again(const Session *session, const Issuer *issuer,
								 SessionSource *source, SessionFinding *finding);
/*
 * A token by the rules of an issuer that lookup() finds, where no database can be read. *client_id is what it says of its
 * client, palloc'd; NULL: nothing.
 */
extern bool session_verify_elsewhere(const char *token, size_t len,
									 const Issuer *(*lookup)(const char *name), char **client_id,
									 SessionFinding *finding);
/* All the checks of a token: a list of SessionFinding *. *v is what was found out. */
extern List *session_verify_whole(const char *token, size_t len, const char *issuer_name,
								  SessionVerification *v);
/*
 * ---- src/session/vouch.c ----
 * May the session be used now: it has not expired, and its issuer, as it is now, would give it?
 * False: *finding says which rule ends it. Reads the clock, and the issuer when smart.issuer changed.
 */
extern bool session_is_vouched(const Session *session, SessionFinding *finding);

/*
 * ---- src/session/login.c ----
 * A login as it would be, all checks asked, and nobody logged in by it: the findings, and the session
 * that the claims give, once the signature was good (NULL: none). A context function that fails is a finding.
 */
extern Session *session_rehearse(const char *token, size_t len, const char *issuer_name,
								 List **findings);

/* ereport(ERROR) 28000 for a finding that is no JOSE_OK. */
extern void session_refuse(const SessionFinding *finding) pg_attribute_noreturn();
/* The same for a status alone; detail NULL: that of the status. */
extern void session_refuse_for(JoseStatus status, const char *detail) pg_attribute_noreturn();

#endif /* SMART_FHIR_SESSION_VERIFY_H */
