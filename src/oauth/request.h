/*
 * src/oauth/request.h
 *		The messages that a front end relays: parameters of a request, and its headers.
 */
#ifndef SMART_FHIR_OAUTH_REQUEST_H
#define SMART_FHIR_OAUTH_REQUEST_H

#include "utils/jsonb.h"

/* A request, one header, and the two kinds of headers together may not be longer. */
#define REQUEST_MAX_BYTES (64 * 1024)

typedef enum RequestFault
{
	REQUEST_OK,
	REQUEST_NO_OBJECT, /* not a JSON object at all */
	REQUEST_TOO_LARGE, /* over REQUEST_MAX_BYTES */
	REQUEST_REPEATED,  /* a parameter is an array: it came twice */
	REQUEST_NO_STRING  /* a parameter is neither string nor array */
} RequestFault;

/* A sentence for error_description. */
extern const char *request_fault_text(RequestFault fault);

/* Shape and size alone. Later calls may be made only if this is REQUEST_OK. */
extern RequestFault request_check_shape(const Jsonb *request);
/* The worst that is wrong with any of its parameters, REQUEST_OK if nothing is. */
extern RequestFault request_check(const Jsonb *request);
/* What is wrong with this one. */
extern RequestFault request_check_parameter(const Jsonb *request, const char *name);

/* The value of a parameter; NULL when it is absent, empty, repeated or no string. */
extern char *request_parameter(const Jsonb *request, const char *name);

/* A header of the request, NULL when it is absent, no string, or headers is no object. */
extern char *request_header(const Jsonb *headers, const char *name);
/* Is it more than can be looked at? */
extern bool request_headers_fit(const Jsonb *headers);
/*
 * The token of "Authorization: Bearer ...", scheme in any case (RFC 6750 2.1); NULL when there
 * is none or another scheme.
 */
extern char *request_bearer(const Jsonb *headers);

#endif /* SMART_FHIR_OAUTH_REQUEST_H */
