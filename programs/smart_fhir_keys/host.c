/*
 * programs/smart_fhir_keys/host.c
 *		The hosts that are being asked; few, so that a list does.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

typedef struct Host
{
	struct Host *next;
	char *name;
} Host;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static Host *hosts;

static Host **
find(const char *name)
{
	Host **at = &hosts;

	while (*at != NULL && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

bool
host_take(const char *name)
{
	Host *new = calloc(1, sizeof(Host));
	bool taken = false;

	pthread_mutex_lock(&mutex);
	if (*find(name) == NULL && new != NULL && (new->name = strdup(name)) != NULL)
	{
		new->next = hosts;
		hosts = new;
		taken = true;
	}
	pthread_mutex_unlock(&mutex);
	if (!taken)
		free(new);
	return taken;
}

void
host_give_back(const char *name)
{
	Host **at;

	pthread_mutex_lock(&mutex);
	at = find(name);
	if (*at != NULL)
	{
		Host *old = *at;

		*at = old->next;
		free(old->name);
		free(old);
	}
	pthread_mutex_unlock(&mutex);
}
