/*
 * programs/smart_fhir_keys/worker.h
 *		Serves one database, in a thread of its own: a database that hangs holds up no other.
 */
#ifndef SMART_FHIR_KEYS_WORKER_H
#define SMART_FHIR_KEYS_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "options.h"

typedef struct Worker
{
	const Options *options;
	int number;		   /* of the connection */
	atomic_int *ended; /* how many workers are through */
	bool failed;	   /* --once: an issuer, the database or the keys file */
} Worker;

/* Runs until the program ends, with --once until everything was tried; then adds to ended
 * and sends SIGUSR1. */
extern void *worker_run(void *arg);

#endif /* SMART_FHIR_KEYS_WORKER_H */
