/*
 * src/oauth/authenticate.h
 *		Which client is this, and can it prove it? The one home of client authentication.
 */
#ifndef SMART_FHIR_OAUTH_AUTHENTICATE_H
#define SMART_FHIR_OAUTH_AUTHENTICATE_H

#include "oauth/client.h"
#include "oauth/outcome.h"

typedef struct ClientCredentials
{
	ClientAuthMethod method; /* NONE: no more than a client_id, or not even that */
	char *client_id;		 /* as sent; NULL: none */
	char *secret;
	char *assertion;
	bool header_used; /* Authorization */
} ClientCredentials;

/*
 * What the request brings. False, with the outcome, when it brings more than one method or one that
 * is not known.
 */
extern bool credentials_read(const Jsonb *request, const Jsonb *headers,
							 ClientCredentials *credentials, Outcome *outcome);
/*
 * The client, authenticated by the method that it is registered for, by which an assertion's jti is
 * burnt; NULL, with the outcome invalid_client. endpoint: what an assertion's aud may name beside the
 * token endpoint.
 */
extern const OauthClient *authenticate(const ClientCredentials *credentials, const char *endpoint,
									   Outcome *outcome);

#endif /* SMART_FHIR_OAUTH_AUTHENTICATE_H */
