/*
 * programs/smart_fhir_keys/uri.h
 *		Which addresses may be asked at all, before any name is resolved.
 */
#ifndef SMART_FHIR_KEYS_URI_H
#define SMART_FHIR_KEYS_URI_H

#include <stdbool.h>

#include <curl/curl.h>

typedef struct Uri
{
	CURLU *parsed;
	char *host;	   /* in small letters, without a dot at the end */
	bool loopback; /* http, which may go to this machine alone */
} Uri;

typedef struct UriRules
{
	bool allow_loopback_http;
	bool public_only; /* somebody registered it himself: https on port 443 */
} UriRules;

/* False: it may not be asked; then nothing is to be freed. */
extern bool uri_read(Uri *uri, const char *text, const UriRules *rules);
extern void uri_free(Uri *uri);

/* Is this Content-Type JSON: application/json, or any that ends in +json (RFC 6839)? */
extern bool content_type_is_json(const char *type);

#endif /* SMART_FHIR_KEYS_URI_H */
