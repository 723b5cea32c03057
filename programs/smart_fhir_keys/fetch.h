/*
 * programs/smart_fhir_keys/fetch.h
 *		One document over HTTP: what may be asked, how much is taken, and what counts as an answer.
 */
#ifndef SMART_FHIR_KEYS_FETCH_H
#define SMART_FHIR_KEYS_FETCH_H

#include <stdbool.h>
#include <stddef.h>

#include <curl/curl.h>

#include "options.h"

/* After decompression. */
#define FETCH_MAX_BYTES (256 * 1024)

/* NULL: a good answer. Else one of the words of smart_internal.is_fetch_error(). */
typedef const char *FetchError;

extern const char FETCH_ADDRESS[], FETCH_CERTIFICATE[], FETCH_CONNECTION[], FETCH_CONTENT_TYPE[],
	FETCH_DISCOVERY[], FETCH_HTTP_STATUS[], FETCH_JSON[], FETCH_REDIRECT[], FETCH_SIZE[],
	FETCH_TIMEOUT[];

typedef struct Fetch Fetch;

/*
 * Begin to fetch; owner comes back from fetch_owner(). NULL: *error says why not. public_only:
 * somebody registered this URI himself, it may lead to public addresses alone.
 */
extern Fetch *fetch_start(CURLM *multi, const char *uri, bool public_only, const Options *options,
						  void *owner, FetchError *error);
/* Of a transfer that libcurl says is done. */
extern void *fetch_owner(CURL *easy);
extern FetchError fetch_finish(Fetch *fetch, CURLcode code);
extern const char *fetch_body(const Fetch *fetch, size_t *len);
/* Ends it, whether it is done or not. */
extern void fetch_free(Fetch *fetch);

#endif /* SMART_FHIR_KEYS_FETCH_H */
