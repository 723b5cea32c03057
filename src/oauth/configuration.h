/*
 * src/oauth/configuration.h
 *		What smart.configure_server() set, parsed.
 */
#ifndef SMART_FHIR_OAUTH_CONFIGURATION_H
#define SMART_FHIR_OAUTH_CONFIGURATION_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "scope/parse.h"

/* The longest lifetimes that configure_server() takes, in seconds. */
#define CONFIGURATION_MAX_CODE_LIFETIME 600
#define CONFIGURATION_MAX_TOKEN_LIFETIME 3600

typedef struct OauthConfiguration
{
	Jsonb *options; /* all of it, defaults filled in */
	char *issuer;
	List *fhir_base_urls; /* of C strings */
	char *name;			  /* NULL: none */
	char *authorization_endpoint;
	char *token_endpoint;
	char *introspection_endpoint;
	char *revocation_endpoint;
	char *jwks_uri;
	char *registration_endpoint; /* NULL: none, as in the next two */
	char *management_endpoint;
	char *userinfo_endpoint;
	char *device_authorization_endpoint; /* NULL, with the next: device codes are not offered */
	char *device_verification_uri;		 /* where people enter the user code */
	char *scopes_supported_text;
	ScopeList scopes_supported;
	char *registration_scopes_text;
	ScopeList registration_scopes;
	char *user_patients; /* a regprocedure as text; NULL: none */
	bool user_sees_all;
	int code_lifetime; /* seconds, as all lifetimes */
	int launch_lifetime;
	int device_lifetime;
	int access_token_lifetime;
	int id_token_lifetime;
	int64 offline_lifetime;
	int64 offline_max_lifetime; /* 0: none */
	int64 online_lifetime;
	bool public_offline_access;
	char *registration; /* closed, token, open */
	bool encounter_picker;
	bool authorize_post;
} OauthConfiguration;

/*
 * The configuration as it is now, read-only; good until the end of the transaction. Raises 55000
 * before the first configure_server().
 */
extern const OauthConfiguration *configuration_get(void);

extern bool configuration_is_base(const OauthConfiguration *configuration, const char *url);

#endif /* SMART_FHIR_OAUTH_CONFIGURATION_H */
