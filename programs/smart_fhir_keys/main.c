/*
 * programs/smart_fhir_keys/main.c
 *		Begins a thread for each database, and waits for their end or a signal.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "keys_file.h"
#include "log.h"
#include "options.h"
#include "stop.h"
#include "worker.h"

/* A resolver that does not answer may hold up the end of a thread. */
#define END_SECONDS 5

/* Wait until all threads are through. A signal ends them; then only so long. */
static bool
wait_for_workers(const sigset_t *signals, const atomic_int *ended, int n)
{
	while (atomic_load(ended) < n)
	{
		const struct timespec limit = {.tv_sec = END_SECONDS};
		int signal_number =
			stopping() ? sigtimedwait(signals, NULL, &limit) : sigwaitinfo(signals, NULL);

		if (signal_number == SIGTERM || signal_number == SIGINT)
			stop_now();
		else if (signal_number < 0 && stopping() && errno == EAGAIN)
			return false;
	}
	return true;
}

/* What is needed before the first thread begins. */
static bool
prepare(const Options *options, sigset_t *signals)
{
	sigemptyset(signals);
	sigaddset(signals, SIGTERM);
	sigaddset(signals, SIGINT);
	sigaddset(signals, SIGUSR1);
	return pthread_sigmask(SIG_BLOCK, signals, NULL) == 0 && signal(SIGPIPE, SIG_IGN) != SIG_ERR &&
		   stop_init() && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK &&
		   keys_file_init(options->keys_file, options->n_connections);
}

/* The exit code. */
static int
run(const Options *options, Worker *workers, pthread_t *threads)
{
	atomic_int ended = 0;
	sigset_t signals;
	bool failed = !prepare(options, &signals);

	for (int i = 0; !failed && i < options->n_connections; i++)
	{
		workers[i] = (Worker){.options = options, .number = i, .ended = &ended};
		failed = pthread_create(&threads[i], NULL, worker_run, &workers[i]) != 0;
	}
	if (failed)
	{
		/* with the threads that began */
		log_event(NULL, "could not start");
		_exit(EXIT_FAILURE);
	}
	if (!wait_for_workers(&signals, &ended, options->n_connections))
	{
		log_event(NULL, "stopped");
		_exit(EXIT_SUCCESS);
	}
	for (int i = 0; i < options->n_connections; i++)
	{
		pthread_join(threads[i], NULL);
		failed = failed || workers[i].failed;
	}
	curl_global_cleanup();
	if (stopping())
		log_event(NULL, "stopped");
	return options->once && failed && !stopping() ? EXIT_FAILURE : EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
	Options options;
	int code = options_read(&options, argc, argv);

	if (code < 0)
	{
		Worker *workers = calloc(options.n_connections, sizeof(Worker));
		pthread_t *threads = calloc(options.n_connections, sizeof(pthread_t));

		code = workers != NULL && threads != NULL ? run(&options, workers, threads) : EXIT_FAILURE;
		free(workers);
		free(threads);
	}
	free(options.connections);
	return code;
}
