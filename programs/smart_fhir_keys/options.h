/*
 * programs/smart_fhir_keys/options.h
 *		The command line.
 */
#ifndef SMART_FHIR_KEYS_OPTIONS_H
#define SMART_FHIR_KEYS_OPTIONS_H

#include <stdbool.h>

typedef struct Options
{
	bool once;
	const char **connections; /* conninfo strings, at least one */
	int n_connections;
	long interval; /* seconds */
	long stale;	   /* seconds */
	long timeout;  /* seconds a request */
	const char *proxy;
	const char *ca_file; /* NULL: libcurl's own */
	const char *ca_path;
	bool allow_loopback_http;
	const char *keys_file; /* NULL: none */
} Options;

/* -1: go on; else the exit code. Complains on stderr. */
extern int options_read(Options *options, int argc, char **argv);

#endif /* SMART_FHIR_KEYS_OPTIONS_H */
