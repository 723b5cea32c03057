/*
 * src/session/log_mask.c
 *		Tokens out of sight.
 *
 * A token that stands in a statement would be written by log_statement, duration lines, the
 * STATEMENT of any error and parameter lists, and be read in pg_stat_activity by other
 * sessions of the role. Every JWT, whole or cut short, begins with base64url of '{"', eyJ, or
 * of '{' and white space; without its quotes it is an identifier, and those are folded to
 * lower case: eyj.
 * Such runs are masked, in the log and in what the client gets back. Needs the library in
 * the backend: session_preload_libraries covers its first statement too.
 */
#include "postgres.h"

#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/elog.h"

#include "compat.h"
#include "session/log_mask.h"

#define MASK "<token>"
#define MARK_LENGTH 3

static emit_log_hook_type next_emit_log_hook = NULL;

static bool
is_token_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
		   c == '_' || c == '.' || c == '=';
}

/* Shorter runs that begin like "{ " may be words. */
#define SHORTEST_SPACED 40

/* Shorter parts of a token tell nothing. */
#define SHORTEST_PART 8

/* Where a token begins, or NULL. */
static const char *
find_mark(const char *text)
{
	for (; (text = strchr(text, 'e')) != NULL; text++)
	{
		int run = 0;

		if (text[1] == 'y' && (text[2] == 'J' || text[2] == 'j'))
			return text;
		/* "{ " is ey and A to D, "{\t" ew and k to n, "{\n" ew and o to r, "{\r" ew and 0 to 3 */
		if (!(text[1] == 'y' && text[2] >= 'A' && text[2] <= 'D') &&
			!(text[1] == 'w' &&
			  ((text[2] >= 'k' && text[2] <= 'r') || (text[2] >= '0' && text[2] <= '3'))))
			continue;
		while (run < SHORTEST_SPACED && is_token_char(text[run]))
			run++;
		if (run == SHORTEST_SPACED)
			return text;
	}
	return NULL;
}

/* A masked copy in the given context; NULL when the text holds no token. */
static char *
masked(const char *text, MemoryContext context)
{
	const char *at;
	char *copy;
	char *out;

	if (text == NULL || (at = find_mark(text)) == NULL)
		return NULL;
	/* the mask is at most twice as long as the shortest run */
	copy = out =
		MemoryContextAllocExtended(context,
								   strlen(text) / MARK_LENGTH * strlen(MASK) + strlen(text) + 1,
								   MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	/* no room for a copy: better nothing of it than an error in the middle of a report */
	if (copy == NULL)
		return MemoryContextStrdup(context, MASK);
	for (; at != NULL; at = find_mark(text))
	{
		memcpy(out, text, at - text);
		out += at - text;
		memcpy(out, MASK, strlen(MASK));
		out += strlen(MASK);
		while (is_token_char(*at))
			at++;
		text = at;
	}
	strcpy(out, text);
	return copy;
}

void
log_mask_activity(void)
{
	char *text = masked(debug_query_string, CurrentMemoryContext);

	if (text == NULL)
		return;
	pgstat_report_activity(STATE_RUNNING, text);
	pfree(text);
}

/* Do these bytes stand in a token of the statement, in any case? */
static bool
in_token_of(const char *statement, const char *piece, size_t len)
{
	const char *token = statement;

	while ((token = find_mark(token)) != NULL)
	{
		const char *end = token;

		while (is_token_char(*end))
			end++;
		for (const char *at = token; at + len <= end; at++)
			if (pg_strncasecmp(at, piece, len) == 0)
				return true;
		token = end;
	}
	return false;
}

/*
 * A token without quotes is taken apart by the parser, and a syntax error quotes the part that
 * it stopped at: a signature that begins with a digit is junk after a number. Such a part
 * is overwritten in place.
 */
static void
mask_parts(char *message, const char *statement)
{
	while (message != NULL && *message != '\0')
	{
		size_t len = 0;

		while (is_token_char(message[len]))
			len++;
		if (len >= SHORTEST_PART && in_token_of(statement, message, len))
			memset(message, '*', len);
		message += Max(len, 1);
	}
}

static void
mask_field(char **field, MemoryContext context)
{
	char *text = masked(*field, context);

	/* the context of reports below ERROR lives as long as the backend: leave nothing in it */
	if (text != NULL)
	{
		pfree(*field);
		*field = text;
	}
}

static void
log_mask_emit(ErrorData *edata)
{
	/* edata's own context outlives the report and is reset after it */
	mask_field(&edata->message, edata->assoc_context);
	mask_field(&edata->detail, edata->assoc_context);
	mask_field(&edata->detail_log, edata->assoc_context);
	mask_field(&edata->hint, edata->assoc_context);
	mask_field(&edata->context, edata->assoc_context);
	mask_field(&edata->internalquery, edata->assoc_context);
	if (debug_query_string != NULL && find_mark(debug_query_string) != NULL)
	{
		edata->hide_stmt = true;
		mask_parts(edata->message, debug_query_string);
		/* a typo never gets as far as login() */
		if (edata->elevel >= ERROR)
		{
			char *text = masked(debug_query_string, edata->assoc_context);

			pgstat_report_activity(STATE_RUNNING, text);
		}
	}
	if (next_emit_log_hook)
		next_emit_log_hook(edata);
}

void
log_mask_init(void)
{
	next_emit_log_hook = emit_log_hook;
	emit_log_hook = log_mask_emit;
}
