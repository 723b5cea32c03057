/*
 * src/session/session.h
 *		Who is logged in: the compiled context of one verified token.
 *
 * The session travels in the setting smart_fhir.session, so SET LOCAL semantics, savepoints
 * and parallel workers come from PostgreSQL; only this layer can give it a value.
 */
#ifndef SMART_FHIR_SESSION_H
#define SMART_FHIR_SESSION_H

#include "utils/jsonb.h"

#include "session/issuer.h"
#include "jose/jose.h"
#include "session/data.h"

/* The session in force, expired and revoked ones too, or NULL. No check, no error. */
extern const Session *session_current(void);
/* Its generation; 0 without a session. */
extern uint64 session_generation(void);
/* Changes with every change of the session, of its interaction, and with rollbacks. */
extern uint64 session_epoch(void);

/*
 * Why the session may not be used now: JOSE_OK, JOSE_EXPIRED, JOSE_UNKNOWN_ISSUER or
 * JOSE_REVOKED. Reads the clock, and the issuer when smart.issuer changed.
 */
extern JoseStatus session_status(const Session *session);
/* session_current(), after raising 28000 when it is expired or revoked. NULL without one. */
extern const Session *session_checked(void);
/*
 * Before a statement of its own starts: the same in a parallel worker too, where a function,
 * called for a row or for an index that is built, may run one.
 */
extern void session_check_statement(void);
/* session_current() when it is usable, else NULL; raises nothing. */
extern const Session *session_usable(void);

/* Put a session in force (copied). Only src/session/login.c calls it. */
extern void session_set(Session *session, bool local);
/* End what is there, beyond the reach of any rollback. */
extern void session_end(void);
/*
 * Raises 55000 in a security-restricted operation: there code of others, an expression of a table's
 * owner, runs for somebody whose session it is not to change.
 */
extern void session_check_may_change(void);
/* The value that a rolled-back narrowing left behind must not reach parallel workers. */
extern void session_clear_dead_value(void);
/* While true every session is dead; returns the former floor for session_unfloor(). */
extern uint64 session_raise_floor(void);
extern void session_restore_floor(uint64 floor);
/* Its token was not in smart.revocation at this revocation_epoch(). */
extern void session_note_unrevoked(const Session *session, uint64 revocation_epoch);
/* A new value above the floor. */
extern uint64 session_next_generation(void);

/*
 * Interaction and index of its name, for Session; false for an unknown name. NULL is
 * INTERACTION_NONE.
 */
extern bool session_interaction_parse(const char *name, int32 *interaction, int32 *name_index);
extern const char *session_interaction_name(int32 name_index);

/* prepare() is called before a session comes in force, and may raise an error. */
extern void session_on_prepare(void (*prepare)(Session *session));

/* reset() is called when the setting is emptied within a transaction, by RESET or DISCARD; rollbacks are none. */
extern void session_on_reset(void (*reset)(void));
/* Would this session, which was in force, be in force again if it were set: was nobody logged out since? */
extern bool session_may_return(const Session *session);

extern void session_init(void);

/* ---- src/session/login.c ---- */

/* As smart.login(token, local => false); the session that is in force then, good until the next change. */
extern const Session *session_log_in(const char *token, size_t len);

/* ---- src/session/build.c ---- */

typedef struct SessionSource
{
	const Issuer *issuer;
	Jsonb *claims;
	JwtTimes times;
	const char *typ;			/* of the header; NULL without one */
	uint32 algorithm;			/* that signed; 0: assumed */
	const char *key_thumbprint; /* NULL: assumed */
	uint64 issuer_epoch;		/* before the issuer was looked up */
} SessionSource;

/*
 * Claims and issuer options to a session (palloc'd, generation 0). Raises 28000 for claims
 * that contradict each other, 55000 when a context function of the issuer fails.
 */
extern Session *session_build(const SessionSource *source);
/* Would these claims give a session that reaches no less, by the issuer as it is in source? */
extern bool session_is_still_given(const Session *session, const SessionSource *source);

/* ---- src/session/cursor.c ---- */

/* Are WITH HOLD cursors open in this backend? */
extern bool session_has_held_cursor(void);
/* src/policy/guard.c saw DECLARE ... WITH HOLD. */
extern void session_note_held_cursor(void);

/* ---- src/session/cache.c ---- */

#define SESSION_DIGEST_LENGTH 32
extern void session_digest(const char *token, size_t len, unsigned char *digest);
/*
 * A session built earlier from the same token, if its issuer is unchanged, its time has come and
 * not passed, and it is not revoked at revocation_epoch() *unrevoked_at; a palloc'd copy.
 */
extern Session *session_cache_find(const unsigned char *digest, uint64 *unrevoked_at);
extern void session_cache_store(const unsigned char *digest, const SessionSource *source,
								const Session *session, uint64 unrevoked_at);
/* smart_fhir.token_cache_size; 0: no verified token may be remembered. */
extern int session_cache_size(void);
extern void session_cache_init(void);

/* ---- src/session/ids.c ---- */

/* FHIR ids without repeats, in the order in which they were added; starts as {NIL, NULL}. */
typedef struct SessionIds
{
	List *list; /* of palloc'd strings */
	struct HTAB *seen;
} SessionIds;

/* A valid id, in CurrentMemoryContext. */
extern void session_ids_add(SessionIds *ids, const char *id, size_t len);

/* ---- src/session/claims.c ---- */

/* What the claims say, after the issuer's claim_map and preset. All palloc'd. */
typedef struct SessionClaims
{
	char *scope; /* one string, tokens by spaces; "" when absent */
	bool scope_malformed;
	bool has_patient_claim; /* one is there, whatever it says */
	int n_patients;
	char **patients; /* distinct valid ids */
	char *encounter;
	char *fhir_user;
	char *client_id;
	char *subject;
	char *jti;
	int n_audience;
	char **audience;
	List *bases;		   /* FHIR bases that the token opens, without trailing slash */
	List *own_bases;	   /* under which references are this server's */
	const char *user_type; /* of a fhirUser of this server; NULL: none, or not usable */
	const char *user_id;
	List *ignored;		 /* "claim: reason", claims that could not be used */
	const char *problem; /* of JOSE_CONTEXT: a sentence with names alone */
} SessionClaims;

extern JoseStatus session_claims_read(const Issuer *issuer, Jsonb *claims, SessionClaims *out);
/* A top-level member as string, NULL when it is absent or no string. */
extern char *session_claim_string(Jsonb *claims, const char *name);
extern bool session_claim_exists(Jsonb *claims, const char *name);
extern bool session_claim_is_true(Jsonb *claims, const char *name);

#endif /* SMART_FHIR_SESSION_H */
