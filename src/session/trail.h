/*
 * src/session/trail.h
 *		What is told to whoever keeps an audit trail, at the moment when it happens.
 *
 * The layers that know of logins and tokens tell; src/audit, which stands above them, listens. Who
 * tells asks trail_on first: where nobody listens, nothing is made ready.
 */
#ifndef SMART_FHIR_SESSION_TRAIL_H
#define SMART_FHIR_SESSION_TRAIL_H

#include "session/session.h"

/* A login, or a request of a client, that was refused. All may be NULL, or 0. */
typedef struct TrailRefusal
{
	const char *endpoint; /* of the authorization server; NULL: smart.login() or assume() */
	const char *rule;	  /* stable code */
	int sqlstate;
	const char *issuer;			 /* one that is known here */
	const char *client_id;		 /* one that is registered here, as the request says */
	const SessionClaims *claims; /* only once somebody's signature was good */
} TrailRefusal;

/* What the authorization server did. All but the event may be NULL. */
typedef struct TrailGrant
{
	const char *event; /* mint, revoke, grant, withdraw, launch, register */
	const char *issuer;
	const char *client_id;
	const char *subject;
	const char *fhir_user;
	const char *patient;
	const char *encounter;
	const char *jti;
	const char *scope;
	const char *grant_type;
	const char *grant_id;
} TrailGrant;

typedef struct Trail
{
	void (*login)(const Session *session);
	void (*refused)(const TrailRefusal *refusal);
	void (*logout)(const Session *session);
	void (*grant)(const TrailGrant *grant);
} Trail;

/* Does anybody listen? Then trail is not NULL. */
extern bool trail_on;
extern const Trail *trail;

/* Told to it: raises what the listener raises when it cannot write. */
static inline void
trail_grant(const TrailGrant *grant)
{
	if (trail_on)
		trail->grant(grant);
}

#endif /* SMART_FHIR_SESSION_TRAIL_H */
