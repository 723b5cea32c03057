/*
 * programs/smart_fhir_keys/fetch.c
 *		One document over HTTP, from a peer that may be anybody: bounded in time and size, with its
 *		certificate and name checked, without redirects, and with nothing of ours sent along.
 *
 * The address is judged when a socket is opened for it: what a name resolved to before, or will
 * afterwards, does not count. Each transfer has a connection of its own, so that none goes out on
 * one that was judged by other rules. Knows nothing of databases, keys and JSON.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "address.h"
#include "fetch.h"
#include "uri.h"

#define MAX_HEADER_BYTES (64 * 1024)

const char FETCH_ADDRESS[] = "address";
const char FETCH_CERTIFICATE[] = "certificate";
const char FETCH_CONNECTION[] = "connection";
const char FETCH_CONTENT_TYPE[] = "content_type";
const char FETCH_DISCOVERY[] = "discovery";
const char FETCH_HTTP_STATUS[] = "http_status";
const char FETCH_JSON[] = "json";
const char FETCH_REDIRECT[] = "redirect";
const char FETCH_SIZE[] = "size";
const char FETCH_TIMEOUT[] = "timeout";

struct Fetch
{
	CURLM *multi;
	CURL *easy;
	Uri uri;
	struct curl_slist *headers;
	void *owner;
	bool public_only;
	bool address_refused;
	bool too_large;
	size_t header_bytes;
	size_t body_bytes;
	char body[FETCH_MAX_BYTES];
};

static size_t
take_body(char *data, size_t size, size_t n, void *arg)
{
	Fetch *fetch = arg;

	if (n > sizeof(fetch->body) - fetch->body_bytes)
	{
		fetch->too_large = true;
		return 0;
	}
	memcpy(fetch->body + fetch->body_bytes, data, n);
	fetch->body_bytes += n;
	return n;
}

static size_t
take_header(char *data, size_t size, size_t n, void *arg)
{
	Fetch *fetch = arg;

	fetch->header_bytes += n;
	if (fetch->header_bytes > MAX_HEADER_BYTES)
	{
		fetch->too_large = true;
		return 0;
	}
	return n;
}

/* What comes over the line, before decompression: more than the whole is no document either. */
static int
take_progress(void *arg, curl_off_t total, curl_off_t received, curl_off_t to_send, curl_off_t sent)
{
	Fetch *fetch = arg;

	if (received > FETCH_MAX_BYTES)
		fetch->too_large = true;
	return fetch->too_large;
}

/* The address is what the connection goes to. */
static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	Fetch *fetch = arg;

	if ((fetch->uri.loopback && !address_is_loopback(&address->addr)) ||
		(fetch->public_only && !address_is_public(&address->addr)))
	{
		fetch->address_refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool
set_options(Fetch *fetch, const Options *options)
{
	CURL *easy = fetch->easy;
	/* through a proxy nothing on this machine is meant, and no address can be judged */
	const char *proxy = options->proxy == NULL || fetch->uri.loopback ? "" : options->proxy;
	CURLcode bad = CURLE_OK;

#define SET(option, value)                                                                         \
	do                                                                                             \
	{                                                                                              \
		CURLcode code_ = curl_easy_setopt(easy, option, value);                                    \
		if (bad == CURLE_OK)                                                                       \
			bad = code_;                                                                           \
	} while (0)

	SET(CURLOPT_CURLU, fetch->uri.parsed);
#if LIBCURL_VERSION_NUM >= 0x075500
	SET(CURLOPT_PROTOCOLS_STR, fetch->uri.loopback ? "http" : "https");
#else
	SET(CURLOPT_PROTOCOLS, (long) (fetch->uri.loopback ? CURLPROTO_HTTP : CURLPROTO_HTTPS));
#endif
	SET(CURLOPT_HTTPGET, 1L);
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_HTTPHEADER, fetch->headers);
	SET(CURLOPT_USERAGENT, "smart_fhir_keys/" SMART_FHIR_VERSION);
	SET(CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	/* "": not even what the environment says */
	SET(CURLOPT_PROXY, proxy);
	SET(CURLOPT_NOPROXY, "");
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
	if (options->ca_file != NULL)
		SET(CURLOPT_CAINFO, options->ca_file);
	if (options->ca_path != NULL)
		SET(CURLOPT_CAPATH, options->ca_path);
	SET(CURLOPT_FRESH_CONNECT, 1L);
	SET(CURLOPT_FORBID_REUSE, 1L);
	SET(CURLOPT_DNS_CACHE_TIMEOUT, 0L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_TIMEOUT, options->timeout);
	SET(CURLOPT_CONNECTTIMEOUT, options->timeout);
	SET(CURLOPT_MAXFILESIZE, (long) FETCH_MAX_BYTES);
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_WRITEDATA, fetch);
	SET(CURLOPT_HEADERFUNCTION, take_header);
	SET(CURLOPT_HEADERDATA, fetch);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, take_progress);
	SET(CURLOPT_XFERINFODATA, fetch);
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_OPENSOCKETDATA, fetch);
	SET(CURLOPT_PRIVATE, fetch);
#if LIBCURL_VERSION_NUM >= 0x075700
	SET(CURLOPT_QUICK_EXIT, 1L);
#endif
#undef SET
	return bad == CURLE_OK;
}

Fetch *
fetch_start(CURLM *multi, const char *uri, bool public_only, const Options *options, void *owner,
			FetchError *error)
{
	const UriRules rules = {options->allow_loopback_http, public_only};
	Fetch *fetch;

	*error = FETCH_ADDRESS;
	if (public_only && options->proxy != NULL)
		return NULL;
	fetch = calloc(1, sizeof(Fetch));
	if (fetch == NULL || !uri_read(&fetch->uri, uri, &rules))
	{
		free(fetch);
		return NULL;
	}
	*error = FETCH_CONNECTION;
	fetch->owner = owner;
	fetch->public_only = public_only;
	fetch->headers = curl_slist_append(NULL, "Accept: application/json, application/jwk-set+json");
	fetch->easy = curl_easy_init();
	if (fetch->headers != NULL && fetch->easy != NULL && set_options(fetch, options) &&
		curl_multi_add_handle(multi, fetch->easy) == CURLM_OK)
	{
		fetch->multi = multi;
		return fetch;
	}
	fetch_free(fetch);
	return NULL;
}

void *
fetch_owner(CURL *easy)
{
	char *fetch = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &fetch);
	return ((Fetch *) fetch)->owner;
}

/* What went wrong on the way; NULL: nothing. */
static FetchError
transfer_error(const Fetch *fetch, CURLcode code)
{
	if (fetch->too_large)
		return FETCH_SIZE;
	switch (code)
	{
		case CURLE_OK:
			return NULL;
		case CURLE_FILESIZE_EXCEEDED:
			return FETCH_SIZE;
		case CURLE_OPERATION_TIMEDOUT:
			return FETCH_TIMEOUT;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_INVALIDCERTSTATUS:
			return FETCH_CERTIFICATE;
		case CURLE_BAD_CONTENT_ENCODING:
			return FETCH_JSON;
		default:
			return fetch->address_refused ? FETCH_ADDRESS : FETCH_CONNECTION;
	}
}

FetchError
fetch_finish(Fetch *fetch, CURLcode code)
{
	FetchError error = transfer_error(fetch, code);
	long status = 0;
	char *type = NULL;

	if (error != NULL)
		return error;
	curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 300 && status < 400)
		return FETCH_REDIRECT;
	if (status != 200)
		return FETCH_HTTP_STATUS;
	curl_easy_getinfo(fetch->easy, CURLINFO_CONTENT_TYPE, &type);
	return type != NULL && content_type_is_json(type) ? NULL : FETCH_CONTENT_TYPE;
}

const char *
fetch_body(const Fetch *fetch, size_t *len)
{
	*len = fetch->body_bytes;
	return fetch->body;
}

void
fetch_free(Fetch *fetch)
{
	if (fetch->multi != NULL)
		curl_multi_remove_handle(fetch->multi, fetch->easy);
	curl_easy_cleanup(fetch->easy);
	curl_slist_free_all(fetch->headers);
	uri_free(&fetch->uri);
	free(fetch);
}
