/*
 * src/oauth/failure.h
 *		Failed authentications, counted a client in a table of fixed size.
 */
#ifndef SMART_FHIR_OAUTH_FAILURE_H
#define SMART_FHIR_OAUTH_FAILURE_H

/* More failures than these in a minute are answered with 429. */
#define FAILURE_LIMIT 300

/*
 * Count one of this client_id, known or not. True when there were FAILURE_LIMIT in this minute
 * before; *wait: seconds until it is over. Nobody waits for anybody.
 */
extern bool failure_count(const char *client_id, int *wait);

#endif /* SMART_FHIR_OAUTH_FAILURE_H */
