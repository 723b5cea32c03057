/*
 * src/oauth/device.h
 *		Device codes (RFC 8628): what a device that has no browser is told, until a person has answered.
 */
#ifndef SMART_FHIR_OAUTH_DEVICE_H
#define SMART_FHIR_OAUTH_DEVICE_H

#include "oauth/authorization.h"
#include "oauth/client.h"
#include "oauth/outcome.h"

/* device_verification_uri is configured. */
extern bool device_is_offered(void);
/* A new code for a request that is good; what the device is told. scope: as asked. */
extern Jsonb *device_add(const AuthorizationRequest *request, const char *scope);
/*
 * A poll at the token endpoint. True, with the outcome, when nobody has approved the code yet, or nobody will any more;
 * false: it is approved, or not known at all.
 */
extern bool device_poll(const char *device_code, const OauthClient *client, Outcome *outcome);
/* expired_token; returns false. */
extern bool device_refuse_expired(Outcome *outcome);

#endif /* SMART_FHIR_OAUTH_DEVICE_H */
