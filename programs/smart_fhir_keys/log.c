/*
 * programs/smart_fhir_keys/log.c
 *		One line an event on stderr. Names that come from a database may hold any bytes: none of
 *		them may begin a line, move a cursor or pass for another event.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

#define MAX_LINE 1024

void
log_event(const char *where, const char *format, ...)
{
	char line[MAX_LINE];
	size_t len;
	va_list args;

	snprintf(line,
			 sizeof(line) / 2,
			 "smart_fhir_keys: %s%s",
			 where == NULL ? "" : where,
			 where == NULL ? "" : ": ");
	len = strlen(line);
	va_start(args, format);
	vsnprintf(line + len, sizeof(line) - len - 1, format, args);
	va_end(args);
	len = strlen(line);
	for (size_t i = 0; i < len; i++)
		if (line[i] < ' ' || line[i] > '~')
			line[i] = '?';
	line[len++] = '\n';
	/* one write, so that lines of two threads do not mix; nobody can be told that it failed */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}
