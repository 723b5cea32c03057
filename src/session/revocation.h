/*
 * src/session/revocation.h
 *		Tokens that count no more: the rows of smart.revocation.
 */
#ifndef SMART_FHIR_REVOCATION_H
#define SMART_FHIR_REVOCATION_H

#include "datatype/timestamp.h"

#include "utils/jsonb.h"

#include "session/data.h"

/*
 * What a token must have to be revoked: all that is given here, and at least one of jti to
 * issued_before.
 */
typedef struct Revocation
{
	const char *issuer;
	const char *jti; /* NULL: any, as in the next three */
	const char *client_id;
	const char *subject;
	const char *grant_id;
	bool has_issued_before;
	TimestampTz issued_before; /* iat < it */
	bool has_until;
	TimestampTz until; /* without: as long as a token that it meets can be valid */
} Revocation;

/*
 * Store an entry; it counts for everybody once the transaction is committed. Needs no privilege:
 * the callers are functions that only some may execute. Takes a few obsolete entries out, too.
 */
extern void revocation_add(const Revocation *revocation);

/* Changes whenever the list may have become longer; takes pending invalidations first. */
extern uint64 revocation_epoch(void);
/* What a token says of itself; NULL for what it does not say. */
typedef struct RevocationToken
{
	const char *issuer;
	const char *jti;
	const char *client_id;
	const char *subject;
	const char *grant_id;
	Jsonb *claims; /* for iat */
} RevocationToken;

/* Is it revoked? Reads the table, as it is now. */
extern bool revocation_meets_token(const RevocationToken *token);
/* The same for the token of a session. */
extern bool revocation_meets(const Session *session);

extern void revocation_init(void);

#endif /* SMART_FHIR_REVOCATION_H */
