/*
 * programs/smart_fhir_keys/uri.c
 *		Judges URIs, and the type of what they answer. libcurl parses them, and is given what it
 *		parsed: there is no second opinion on what a URI says.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "uri.h"

#define MAX_URI_BYTES 2048
#define HTTPS_PORT 443

/* A part, "" when it has none; to be given to curl_free(), NULL without memory. */
static char *
get_part(CURLU *url, CURLUPart part, unsigned int flags)
{
	char *text = NULL;

	if (curl_url_get(url, part, &text, flags) != CURLUE_OK)
		return NULL;
	return text;
}

static bool
is_loopback_name(const char *host)
{
	return strcmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 ||
		   strcmp(host, "[::1]") == 0;
}

static bool
has_port(CURLU *url, long wanted)
{
	char *port = get_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	bool has = port != NULL && strtol(port, NULL, 10) == wanted;

	curl_free(port);
	return has;
}

/* Printable ASCII, no fragment: what else libcurl would correct or take away. */
static bool
is_plain(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~' || text[i] == '#' || text[i] == '\\')
			return false;
	return len <= MAX_URI_BYTES;
}

static char *
copy_host(const char *host)
{
	size_t len = strlen(host);
	char *copy = strdup(host);

	if (copy == NULL)
		return NULL;
	for (size_t i = 0; i < len; i++)
		copy[i] = (char) tolower((unsigned char) copy[i]);
	if (len > 1 && copy[len - 1] == '.')
		copy[len - 1] = '\0';
	return copy;
}

bool
uri_read(Uri *uri, const char *text, const UriRules *rules)
{
	char *scheme = NULL;
	char *host = NULL;
	bool good = false;

	*uri = (Uri){.parsed = curl_url()};
	if (uri->parsed != NULL && is_plain(text) &&
		curl_url_set(uri->parsed, CURLUPART_URL, text, CURLU_DISALLOW_USER) == CURLUE_OK)
	{
		scheme = get_part(uri->parsed, CURLUPART_SCHEME, 0);
		host = get_part(uri->parsed, CURLUPART_HOST, 0);
	}
	if (scheme != NULL && host != NULL && host[0] != '\0')
	{
		uri->host = copy_host(host);
		uri->loopback = strcmp(scheme, "http") == 0;
		if (uri->host == NULL)
			good = false;
		else if (uri->loopback)
			good = rules->allow_loopback_http && !rules->public_only && is_loopback_name(uri->host);
		else
			good = strcmp(scheme, "https") == 0 &&
				   (!rules->public_only || has_port(uri->parsed, HTTPS_PORT));
	}
	curl_free(scheme);
	curl_free(host);
	if (!good)
		uri_free(uri);
	return good;
}

void
uri_free(Uri *uri)
{
	curl_url_cleanup(uri->parsed);
	free(uri->host);
	*uri = (Uri){0};
}

bool
content_type_is_json(const char *type)
{
	size_t len = strcspn(type, "; \t");
	const char *slash = memchr(type, '/', len);

	if (slash == NULL || slash == type || slash + 1 == type + len)
		return false;
	if (len == strlen("application/json") && strncasecmp(type, "application/json", len) == 0)
		return true;
	return len - (slash + 1 - type) > strlen("+json") &&
		   strncasecmp(type + len - strlen("+json"), "+json", strlen("+json")) == 0;
}
