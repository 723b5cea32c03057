/*
 * src/oauth/authorization.h
 *		An authorization request (RFC 6749 4.1.1, SMART App Launch "Obtain authorization code"), checked.
 */
#ifndef SMART_FHIR_OAUTH_AUTHORIZATION_H
#define SMART_FHIR_OAUTH_AUTHORIZATION_H

#include "utils/jsonb.h"

#include "oauth/client.h"
#include "oauth/configuration.h"
#include "oauth/store.h"

typedef struct AuthorizationRequest
{
	const OauthConfiguration *configuration;
	const OauthClient *client; /* NULL: the answer must not redirect, as with the next */
	char *redirect_uri;		   /* NULL: of a device, which gets no redirect (RFC 8628) */
	char *state;			   /* NULL: missing or doubled */
	char *scope;			   /* cut to what the client may get here, in its spelling */
	char *audience;
	char *code_challenge;
	char *nonce;   /* NULL: none */
	char *prompt;  /* as asked; NULL: none */
	int64 max_age; /* seconds; -1: not asked */
	char *max_age_text;
	StoreRow *launch; /* the handle's row; NULL: standalone */
	/* why it is refused; error NULL: it is not */
	const char *error;
	const char *description;
	const char *told; /* what of the client's was wrong, for the log; NULL: nothing to show */
} AuthorizationRequest;

/*
 * Check it, as authorize() and approve() both do. False when it is refused: error and
 * description say why, and client and redirect_uri whether the client may be told by redirect.
 */
extern bool authorization_read(const Jsonb *request, AuthorizationRequest *out);

/*
 * The request of a device (RFC 8628 3.1): who asks is known already, for what and of which server is checked. aud may be
 * missing where there is one server.
 */
extern bool authorization_read_device(const OauthClient *client, char *scope, char *aud,
									  char *resource, AuthorizationRequest *out);

/* Is this value among those of prompt? */
extern bool authorization_prompts(const AuthorizationRequest *request, const char *value);

/* The refusal in the server's log. */
extern void authorization_log(const AuthorizationRequest *request);
/* An error to be shown (400), never redirected. */
extern Jsonb *authorization_shown(const char *error, const char *description);
/* redirect_uri with the error, state and iss. */
extern Jsonb *authorization_redirect_error(int status, const AuthorizationRequest *request,
										   const char *error, const char *description);
/* redirect_uri with the code, state and iss. */
extern Jsonb *authorization_redirect_code(int status, const AuthorizationRequest *request,
										  const char *code);

#endif /* SMART_FHIR_OAUTH_AUTHORIZATION_H */
