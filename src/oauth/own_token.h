/*
 * src/oauth/own_token.h
 *		Access tokens that come back: verified as smart.login() would, and not revoked.
 */
#ifndef SMART_FHIR_OAUTH_OWN_TOKEN_H
#define SMART_FHIR_OAUTH_OWN_TOKEN_H

#include "oauth/outcome.h"

typedef struct OwnToken
{
	Jsonb *claims;
	char *client_id;
	char *jti;
	char *scope;
	char *grant_id;
	TimestampTz expires_at;
} OwnToken;

/*
 * False when it is no access token of this issuer, has expired or is revoked. What the token points to is
 * good until the end of the transaction.
 */
extern bool own_token_read(const char *jwt, OwnToken *token);
/*
 * The bearer of these headers. False, with the outcome: 401 invalid_token with its challenge (RFC 6750 3.1).
 */
extern bool own_token_of_bearer(const Jsonb *headers, OwnToken *token, Outcome *outcome);

#endif /* SMART_FHIR_OAUTH_OWN_TOKEN_H */
