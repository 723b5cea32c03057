/*
 * src/oauth/client.h
 *		Registered clients: what their registration says, and whether it counts.
 */
#ifndef SMART_FHIR_OAUTH_CLIENT_H
#define SMART_FHIR_OAUTH_CLIENT_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "scope/parse.h"

#define CLIENT_ID_MAX_BYTES 128

/* The grant type of RFC 8628. */
#define CLIENT_GRANT_DEVICE "urn:ietf:params:oauth:grant-type:device_code"

typedef enum ClientAuthMethod
{
	CLIENT_AUTH_NONE,
	CLIENT_AUTH_SECRET_BASIC,
	CLIENT_AUTH_SECRET_POST,
	CLIENT_AUTH_PRIVATE_KEY_JWT
} ClientAuthMethod;

typedef struct OauthClient
{
	char *client_id;
	Jsonb *metadata; /* RFC 7591 names, defaults filled in */
	bool dynamic;	 /* made by smart.register() */
	bool enabled;
	bool approved;		  /* dynamic: a person has said yes once */
	char *grant_id;		  /* of its client_credentials tokens */
	TimestampTz ended_at; /* what was granted until then is over; 0: nothing */
	TimestampTz changed_at;
	TimestampTz expires_at; /* unless approved; DT_NOEND: never */
	ClientAuthMethod auth_method;
	char *scope_text;
	ScopeList scope; /* the most that it may get */
	List *redirect_uris;
	bool native;
	bool may_code; /* grant_types */
	bool may_refresh;
	bool may_credentials;
	bool may_device;
	bool sees_any_token;	 /* introspection: any */
	bool offline_access;	 /* offline_access may be granted */
	bool issuer_is_audience; /* assertion_audience: issuer */
	bool typ_optional;		 /* assertion_typ_optional */
	char *id_token_alg;
	char *jwks_uri; /* NULL: none */
	Jsonb *jwks;	/* of its registration, or fetched from jwks_uri; NULL: none */
} OauthClient;

/* The client as it is now, read-only, good until the end of the transaction; NULL: there is none. */
extern const OauthClient *client_find(const char *client_id);
/* The work that client_find() has with an id that is not known, for those that are. */
extern void client_find_none(const char *client_id);
/* Letters that an id may have, 1 to 128 of them. */
extern bool client_id_is_valid(const char *client_id);
/* Is this one of the registered redirect_uris, now? */
extern bool client_redirects_to(const OauthClient *client, const char *uri);
/* Add an event: disabled, enabled, ended, approved; grant_id may be NULL. */
extern void client_add_event(const char *client_id, const char *event, const char *grant_id);

#endif /* SMART_FHIR_OAUTH_CLIENT_H */
