/*
 * src/oauth/uri.c
 *		URIs taken apart, and which of them a client may name. Pure; knows nothing of clients.
 */
#include "postgres.h"

#include <ctype.h>

#include "compat.h"
#include "oauth/uri.h"

/* Longer ones no browser sends whole. */
#define URI_MAX_BYTES 2000

static bool
is_uri_text(const char *uri)
{
	for (const char *p = uri; *p != '\0'; p++)
	{
		if (*p == '%')
		{
			if (!isxdigit((unsigned char) p[1]) || !isxdigit((unsigned char) p[2]))
				return false;
		}
		else if (!((*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') ||
				   (*p >= '0' && *p <= '9')) &&
				 strchr("-._~:/?#[]@!$&'()*+,;=", *p) == NULL)
			return false;
	}
	return true;
}

static bool
parse_authority(const char *start, const char *end, UriParts *parts)
{
	const char *at = NULL;
	const char *host_end;

	for (const char *p = start; p < end; p++)
		if (*p == '@')
			at = p;
	parts->has_userinfo = at != NULL;
	if (at != NULL)
		start = at + 1;
	parts->host = start;
	if (start < end && *start == '[')
	{
		host_end = memchr(start, ']', end - start);
		if (host_end == NULL)
			return false;
		host_end++;
	}
	else
	{
		host_end = memchr(start, ':', end - start);
		if (host_end == NULL)
			host_end = end;
	}
	parts->host_len = host_end - start;
	if (host_end < end)
	{
		if (*host_end != ':')
			return false;
		parts->port = host_end + 1;
		parts->port_len = end - parts->port;
		for (size_t i = 0; i < parts->port_len; i++)
			if (!isdigit((unsigned char) parts->port[i]))
				return false;
		if (parts->port_len > 5)
			return false;
	}
	return true;
}

bool
uri_parse(const char *uri, UriParts *parts)
{
	const char *p = uri;
	const char *end;
	const char *fragment;
	size_t len = strlen(uri);

	memset(parts, 0, sizeof(*parts));
	if (len == 0 || len > URI_MAX_BYTES || !is_uri_text(uri))
		return false;
	if (!isalpha((unsigned char) *p))
		return false;
	while (isalnum((unsigned char) *p) || *p == '+' || *p == '-' || *p == '.')
		p++;
	if (*p != ':')
		return false;
	parts->scheme = uri;
	parts->scheme_len = p - uri;
	p++;
	fragment = strchr(p, '#');
	parts->has_fragment = fragment != NULL;
	end = fragment != NULL ? fragment : uri + len;
	if (strncmp(p, "//", 2) == 0)
	{
		const char *authority = p + 2;

		parts->has_authority = true;
		p = authority + strcspn(authority, "/?#");
		if (!parse_authority(authority, p, parts))
			return false;
	}
	parts->rest = p;
	parts->query = memchr(p, '?', end - p);
	if (parts->query != NULL)
	{
		parts->query++;
		parts->query_len = end - parts->query;
	}
	return true;
}

static bool
is_word(const char *text, size_t len, const char *word)
{
	return strlen(word) == len && pg_strncasecmp(text, word, len) == 0;
}

static bool
is_scheme(const UriParts *parts, const char *scheme)
{
	return is_word(parts->scheme, parts->scheme_len, scheme);
}

static bool
is_loopback_literal(const UriParts *parts)
{
	return is_word(parts->host, parts->host_len, "127.0.0.1") ||
		   is_word(parts->host, parts->host_len, "[::1]");
}

static bool
is_own_machine(const UriParts *parts)
{
	return is_loopback_literal(parts) || is_word(parts->host, parts->host_len, "localhost");
}

bool
uri_is_secure(const char *uri)
{
	UriParts parts;

	return uri_parse(uri, &parts) && parts.has_authority && parts.host_len > 0 &&
		   !parts.has_userinfo && !parts.has_fragment &&
		   (is_scheme(&parts, "https") || (is_scheme(&parts, "http") && is_own_machine(&parts)));
}

bool
uri_is_base(const char *uri)
{
	UriParts parts;

	return uri_parse(uri, &parts) && parts.has_authority && parts.host_len > 0 &&
		   !parts.has_userinfo && !parts.has_fragment && parts.query == NULL &&
		   (is_scheme(&parts, "https") || is_scheme(&parts, "http"));
}

/* The response's own parameters must not be there already. */
static bool
query_has_reserved_name(const UriParts *parts)
{
	static const char *const names[] = {"code", "state", "iss", "error"};
	const char *p = parts->query;
	const char *end = p + parts->query_len;

	while (p < end)
	{
		const char *stop = p;
		char name[8] = "";
		size_t n = 0;

		/* names that are longer than the reserved ones are none of them */
		while (stop < end && *stop != '&' && *stop != '=')
		{
			char c = *stop++;

			if (c == '%')
			{
				c = (char) strtol((char[]){stop[0], stop[1], '\0'}, NULL, 16);
				stop += 2;
			}
			if (n < sizeof(name))
				name[n] = c;
			n++;
		}
		for (size_t i = 0; i < lengthof(names); i++)
			if (n == strlen(names[i]) && memcmp(name, names[i], n) == 0)
				return true;
		while (stop < end && *stop != '&')
			stop++;
		p = stop + 1;
	}
	return false;
}

const char *
uri_redirect_fault(const char *uri, bool native)
{
	UriParts parts;

	if (!uri_parse(uri, &parts))
		return "It is no absolute URI, or is longer than 2000 bytes.";
	if (parts.has_fragment)
		return "It has a fragment.";
	if (parts.query != NULL && query_has_reserved_name(&parts))
		return "Its query has code, state, iss or error.";
	if (is_scheme(&parts, "https") || is_scheme(&parts, "http"))
	{
		if (!parts.has_authority || parts.host_len == 0)
			return "It has no host.";
		if (parts.has_userinfo)
			return "It has a user before the host.";
		if (memchr(parts.host, '*', parts.host_len) != NULL)
			return "It has a wildcard in the host.";
		if (is_scheme(&parts, "http") && !is_own_machine(&parts))
			return "http is for localhost, 127.0.0.1 and [::1] alone.";
		return NULL;
	}
	if (!native)
		return "Schemes other than https and http are for native applications.";
	if (memchr(parts.scheme, '.', parts.scheme_len) == NULL)
		return "A private-use scheme has a dot in it.";
	if (parts.has_userinfo)
		return "It has a user before the host.";
	return NULL;
}

bool
uri_same_but_loopback_port(const char *a, const char *b)
{
	UriParts one, other;

	if (!uri_parse(a, &one) || !uri_parse(b, &other) || !is_scheme(&one, "http") ||
		!is_loopback_literal(&one) || one.has_userinfo || other.has_userinfo || one.has_fragment ||
		other.has_fragment)
		return false;
	return one.scheme_len == other.scheme_len &&
		   memcmp(one.scheme, other.scheme, one.scheme_len) == 0 &&
		   one.host_len == other.host_len && memcmp(one.host, other.host, one.host_len) == 0 &&
		   strcmp(one.rest, other.rest) == 0;
}
