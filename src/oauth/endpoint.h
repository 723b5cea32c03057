/*
 * src/oauth/endpoint.h
 *		The three endpoints that clients post to, each from a request to an outcome.
 *
 * They burn what is good once, make its successor and fix what is answered in the transaction that
 * they are called in. Who calls them commits it before anybody sees the outcome
 * (src/oauth/procedures.c).
 */
#ifndef SMART_FHIR_OAUTH_ENDPOINT_H
#define SMART_FHIR_OAUTH_ENDPOINT_H

#include "oauth/outcome.h"

extern bool endpoint_token(const Jsonb *request, const Jsonb *headers, Outcome *outcome);
extern bool endpoint_introspect(const Jsonb *request, const Jsonb *headers, Outcome *outcome);
extern bool endpoint_revoke(const Jsonb *request, const Jsonb *headers, Outcome *outcome);

/* Content type, shape and size of a request; parameters that came twice are not looked at. */
extern bool endpoint_check_form(const Jsonb *request, const Jsonb *headers, Outcome *outcome);
/* A parameter that came twice, or is no text. */
extern bool endpoint_check_parameters(const Jsonb *request, Outcome *outcome);

#endif /* SMART_FHIR_OAUTH_ENDPOINT_H */
