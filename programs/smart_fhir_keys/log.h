/*
 * programs/smart_fhir_keys/log.h
 *		One line an event on stderr, printable ASCII alone.
 */
#ifndef SMART_FHIR_KEYS_LOG_H
#define SMART_FHIR_KEYS_LOG_H

/* where: the database it is about, or NULL. What is no printable ASCII becomes '?'. */
extern void log_event(const char *where, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif /* SMART_FHIR_KEYS_LOG_H */
