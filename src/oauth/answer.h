/*
 * src/oauth/answer.h
 *		Answers: {"status", "headers", "body"} for a front end to relay.
 */
#ifndef SMART_FHIR_OAUTH_ANSWER_H
#define SMART_FHIR_OAUTH_ANSWER_H

#include "utils/jsonb.h"

/* application/json; cache-control: no-store, pragma: no-cache. body NULL: none. */
extern Jsonb *answer_json(int status, const Jsonb *body);
/* The same with one more header (lower case). */
extern Jsonb *answer_json_header(int status, const Jsonb *body, const char *header,
								 const char *value);
/* {"error", "error_description"}; the description is cleaned, NULL: none. */
extern Jsonb *answer_error(int status, const char *error, const char *description);
extern Jsonb *answer_error_body(const char *error, const char *description);
/* A redirect, nothing in the body. */
extern Jsonb *answer_redirect(int status, const char *location);

/*
 * uri with "name=value" at the end of its query, percent-encoded; NULL value: uri itself.
 * A query that is there stays.
 */
extern char *answer_add_parameter(const char *uri, const char *name, const char *value);

/* Only characters of RFC 6749 5.2 (no quote, no backslash, ASCII), at most 200. */
extern char *answer_clean(const char *text);

/*
 * The reason of a refusal, for the server's log alone: no secret may be in it. value, which
 * may be NULL, is the client's: cut to 200 bytes, without control characters.
 */
extern void answer_log(const char *endpoint, const char *error, const char *reason,
					   const char *value);

#endif /* SMART_FHIR_OAUTH_ANSWER_H */
