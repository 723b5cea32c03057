/*
 * src/oauth/assertion.h
 *		Signed JWTs with which clients say who they are: assertions of RFC 7523, and CDS Hooks.
 */
#ifndef SMART_FHIR_OAUTH_ASSERTION_H
#define SMART_FHIR_OAUTH_ASSERTION_H

#include "nodes/pg_list.h"

#include "jose/jose.h"

/* Clocks differ by so much; beyond the time of use an assertion is never good. */
#define ASSERTION_LEEWAY_SECS 60
#define ASSERTION_MAX_LIFETIME_SECS 300

typedef struct AssertionRules
{
	Jsonb *jwks;	 /* NULL: a stand-in that no signature fits, for the same work */
	const char *jku; /* what the header's jku must be, if it is there; NULL: it may not be there */
	uint32 algorithms; /* JOSE_* */
	bool typ_optional; /* typ may be missing; else it must be JWT */
	bool iat_required; /* and exp - iat is limited, not exp alone */
	List *audiences;   /* of C strings: aud must be or have one of them */
} AssertionRules;

/* Unverified: header and claims. JOSE_OK, or why it cannot even be read. */
extern JoseStatus assertion_read(const char *jwt, JwsToken *token, Jsonb **claims);
/*
 * Does it hold under these rules (CA-1 to CA-5, CA-10, CA-11; CD-2 to CD-7)? Who issued it is the
 * caller's question, and so is the jti, which is *jti then and to be burnt until *until.
 */
extern JoseStatus assertion_verify(const JwsToken *token, Jsonb *claims,
								   const AssertionRules *rules, const char **jti,
								   TimestampTz *until);

#endif /* SMART_FHIR_OAUTH_ASSERTION_H */
