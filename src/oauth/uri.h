/*
 * src/oauth/uri.h
 *		URIs as registrations and configurations hold them (RFC 3986), taken apart. Pure.
 */
#ifndef SMART_FHIR_OAUTH_URI_H
#define SMART_FHIR_OAUTH_URI_H

typedef struct UriParts
{
	const char *scheme;
	size_t scheme_len;
	bool has_authority;
	bool has_userinfo;
	const char *host; /* with the brackets of an IPv6 literal */
	size_t host_len;
	const char *port; /* digits, may be empty; NULL: no colon */
	size_t port_len;
	const char *rest;  /* from the path on, to the fragment */
	const char *query; /* behind the question mark, NULL: none */
	size_t query_len;
	bool has_fragment;
} UriParts;

/* Absolute, nothing but characters that a URI may hold, percent signs with two hex digits. */
extern bool uri_parse(const char *uri, UriParts *parts);

/* https, or http on localhost, 127.0.0.1 or [::1]; a host, no user, no fragment. */
extern bool uri_is_secure(const char *uri);
/* http or https; a host, no user, no fragment, no query. */
extern bool uri_is_base(const char *uri);

/* Why this may be no redirect_uri, a static sentence; NULL when it may. */
extern const char *uri_redirect_fault(const char *uri, bool native);
/* http URIs on 127.0.0.1 or [::1] that differ in the port alone (RFC 8252 7.3). */
extern bool uri_same_but_loopback_port(const char *a, const char *b);

#endif /* SMART_FHIR_OAUTH_URI_H */
