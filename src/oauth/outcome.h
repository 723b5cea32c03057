/*
 * src/oauth/outcome.h
 *		What comes of a request to the token, introspection or revocation endpoint, before it is an answer.
 */
#ifndef SMART_FHIR_OAUTH_OUTCOME_H
#define SMART_FHIR_OAUTH_OUTCOME_H

#include "utils/jsonb.h"

typedef struct Outcome
{
	const char *endpoint; /* for the log: token, introspect, revoke, userinfo */
	int status;
	Jsonb *body;			 /* of a success; NULL: none */
	const char *error;		 /* NULL: a success */
	const char *description; /* class of the error, static text */
	const char *challenge;	 /* WWW-Authenticate, NULL: none */
	/* counts as a failure of whom it names: the client_id as sent, "" without one; NULL: it does not */
	const char *failed_as;
	const char *grant_type; /* of a request to the token endpoint */
	/* the registered client that the request names; NULL: none */
	const char *named;
	/* for whom and of which grant a success is; what smart.redeem() asks again */
	const char *client_id;
	const char *grant_id;
} Outcome;

/* A refusal; reason, and who failed, go to the server's log alone. Returns false. */
extern bool outcome_refuse(Outcome *outcome, int status, const char *error, const char *description,
						   const char *reason);
/* The answer; a failure is counted, and beyond the limit it is 429. */
extern Jsonb *outcome_answer(const Outcome *outcome);

#endif /* SMART_FHIR_OAUTH_OUTCOME_H */
