/*
 * programs/smart_fhir_keys/keys_file.c
 *		Puts the file together and replaces it in one step: a reader sees the old one or the new one.
 *
 * Nothing is written while a database has not been read yet: its part of the old file would be
 * lost. doc/operations.md has the format.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "keys_file.h"
#include "log.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static const char *file_path;
static char **parts; /* NULL: not read yet */
static int n_parts;
static bool is_current;

bool
keys_file_init(const char *path, int n_databases)
{
	file_path = path;
	n_parts = n_databases;
	parts = calloc(n_databases, sizeof(char *));
	return parts != NULL;
}

static bool
write_text(FILE *file)
{
	time_t now = time(NULL);
	struct tm utc;
	char text[32];
	bool first = true;

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	fprintf(file, "{\"format\": 1, \"written_at\": \"%s\", \"issuers\": [", text);
	for (int i = 0; i < n_parts; i++)
	{
		if (parts[i][0] == '\0')
			continue;
		fprintf(file, "%s\n%s", first ? "" : ",", parts[i]);
		first = false;
	}
	fputs("\n]}\n", file);
	return fflush(file) == 0 && !ferror(file);
}

static bool
sync_directory(void)
{
	char *directory = strdup(file_path);
	char *slash = directory == NULL ? NULL : strrchr(directory, '/');
	int fd;
	bool good;

	if (slash != NULL)
		slash[slash == directory] = '\0';
	fd = open(slash == NULL ? "." : directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	good = directory != NULL && fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	free(directory);
	return good;
}

static bool
write_file(void)
{
	size_t size = strlen(file_path) + sizeof(".XXXXXX");
	char *temporary = malloc(size);
	FILE *file;
	int fd = -1;
	bool good = false;

	if (temporary != NULL)
	{
		snprintf(temporary, size, "%s.XXXXXX", file_path);
		fd = mkostemp(temporary, O_CLOEXEC);
	}
	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (file != NULL)
	{
		good = fchmod(fd, 0640) == 0 && write_text(file) && fsync(fd) == 0;
		good = fclose(file) == 0 && good && rename(temporary, file_path) == 0 && sync_directory();
	}
	if (good)
		log_event(NULL, "keys file written");
	else
		log_event(NULL, "keys file not written: %s", strerror(errno));
	if (!good && fd >= 0)
		unlink(temporary);
	free(temporary);
	return good;
}

bool
keys_file_put(int database, char *rows)
{
	bool good = true;

	pthread_mutex_lock(&mutex);
	if (parts[database] == NULL || strcmp(parts[database], rows) != 0)
		is_current = false;
	free(parts[database]);
	parts[database] = rows;
	for (int i = 0; i < n_parts; i++)
		good = good && parts[i] != NULL;
	if (good && !is_current)
		is_current = good = write_file();
	pthread_mutex_unlock(&mutex);
	return good;
}
