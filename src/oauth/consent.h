/*
 * src/oauth/consent.h
 *		What a person has agreed to before: the live grants of one person, client and patient.
 */
#ifndef SMART_FHIR_OAUTH_CONSENT_H
#define SMART_FHIR_OAUTH_CONSENT_H

#include "oauth/client.h"

/* The scopes of the live grants of exactly these four, joined; "" when there are none. */
extern char *consent_scope(const char *sub, const OauthClient *client, const char *patient,
						   const char *fhir_user);

#endif /* SMART_FHIR_OAUTH_CONSENT_H */
