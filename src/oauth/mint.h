/*
 * src/oauth/mint.h
 *		Tokens that the server signs: access tokens (RFC 9068) and ID tokens.
 */
#ifndef SMART_FHIR_OAUTH_MINT_H
#define SMART_FHIR_OAUTH_MINT_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

/* What an access token says; NULL: the claim is left out. */
typedef struct AccessToken
{
	const char *audience;
	const char *subject;
	const char *client_id;
	const char *scope;
	const char *grant_type; /* by which it is asked for; for the audit trail alone */
	const char *grant_id;
	const char *patient;
	const char *encounter;
	const char *fhir_user; /* absolute; left out unless the scope is about a user */
	const char *hook_instance;
	const Jsonb *context; /* of it fhirContext and tenant */
	TimestampTz issued_at;
	int lifetime; /* seconds */
} AccessToken;

typedef struct IdToken
{
	const char *subject;
	const char *client_id;
	const char *fhir_user; /* NULL unless openid and fhirUser were granted */
	const char *nonce;
	TimestampTz auth_time; /* 0: not known */
	const char *algorithm;
	TimestampTz issued_at;
} IdToken;

/* Does a token of this scope say who the user is? */
extern bool mint_names_user(const char *scope);
extern char *mint_access_token(const AccessToken *token);
extern char *mint_id_token(const IdToken *token);
/* Seconds since 1970. */
extern int64 mint_numeric_date(TimestampTz time);

#endif /* SMART_FHIR_OAUTH_MINT_H */
