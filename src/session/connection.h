/*
 * src/session/connection.h
 *		The token that a connection was made with, and the session that comes of it.
 */
#ifndef SMART_FHIR_SESSION_CONNECTION_H
#define SMART_FHIR_SESSION_CONNECTION_H

/*
 * Keep the token, in this backend's memory alone, for its first statement: that verifies it again, by smart.issuer of the
 * database, and logs in with it. Once.
 */
extern void connection_keep_token(const char *token);

#endif /* SMART_FHIR_SESSION_CONNECTION_H */
