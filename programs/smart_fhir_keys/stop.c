/*
 * programs/smart_fhir_keys/stop.c
 *		A pipe whose writing end is closed when the program is to end.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "stop.h"

static int ends[2] = {-1, -1};
static atomic_bool is_stopping;

bool
stop_init(void)
{
	return pipe2(ends, O_CLOEXEC) == 0;
}

void
stop_now(void)
{
	if (!atomic_exchange(&is_stopping, true))
		close(ends[1]);
}

bool
stopping(void)
{
	return atomic_load(&is_stopping);
}

int
stop_fd(void)
{
	return ends[0];
}

double
now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}
