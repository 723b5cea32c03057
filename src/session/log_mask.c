/*
 * src/session/log_mask.c
 *		Tokens out of sight.
 *
 * A token that stands in a statement would be written by log_statement, duration lines, the
 * STATEMENT of any error and parameter lists, and be read in pg_stat_activity by other
 * sessions of the role. Every JWT, whole or cut short, begins with base64url of '{"', eyJ, or
 * of '{' and white space; without its quotes it is an identifier, and those are folded to
 * lower case: eyj.
 * So are secrets of the authorization server, which begin with smart_ and are longer than any name, and
 * the pair of HTTP's Basic authentication.
 * Such runs are masked, in the log and in what the client gets back. Needs the library in
 * the backend: session_preload_libraries covers its first statement too.
 */
#include "postgres.h"

#include "access/xact.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/elog.h"

#include "compat.h"
#include "session/log_mask.h"

#define MASK LOG_MASK
#define MARK_LENGTH 3

static emit_log_hook_type next_emit_log_hook = NULL;
static const ErrorData *spared = NULL;

static bool
is_token_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
		   c == '_' || c == '.' || c == '=' || c == '+' || c == '/';
}

/* Shorter runs that begin like "{ " may be words. */
#define SHORTEST_SPACED 40

/* Shorter parts of a token tell nothing. */
#define SHORTEST_PART 8

/* A secret of src/oauth/secret.c has 49 characters; no name of ours has so many. */
#define SECRET_MARK "smart_"
#define SHORTEST_SECRET 45

/* Shorter words behind "Basic " may be words. */
#define BASIC_MARK "basic "
#define SHORTEST_BASIC 20

static bool
is_name_char(char c)
{
	return is_token_char(c) && strchr(".=+/", c) == NULL;
}

/* Are there so many of these characters, and is the text not over before? */
static bool
has_run(const char *text, int length, bool (*belongs)(char))
{
	int run = 0;

	while (run < length && text[run] != '\0' && belongs(text[run]))
		run++;
	return run == length;
}

/* Where a token or a secret begins, or NULL. */
static const char *
find_mark(const char *text)
{
	for (; (text = strpbrk(text, "esbB")) != NULL; text++)
	{
		int run = 0;

		if (*text == 's')
		{
			if (strncmp(text, SECRET_MARK, strlen(SECRET_MARK)) == 0 &&
				has_run(text, SHORTEST_SECRET, is_name_char))
				return text;
			continue;
		}
		if (*text != 'e')
		{
			if (pg_strncasecmp(text, BASIC_MARK, strlen(BASIC_MARK)) == 0 &&
				has_run(text + strlen(BASIC_MARK), SHORTEST_BASIC, is_token_char))
				return text + strlen(BASIC_MARK);
			continue;
		}
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

const char *
log_mask_find(const char *text, size_t *len)
{
	const char *at = find_mark(text);

	if (at == NULL)
		return NULL;
	*len = 0;
	while (is_token_char(at[*len]))
		(*len)++;
	return at;
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

/*
 * The statement that runs, looked at once however many reports it makes. GRAM bytes in a row are a
 * bit here, in any case: all that stand in one of its tokens.
 */
#define GRAM SHORTEST_PART
#define GRAM_BITS (1 << 20)

static struct
{
	const char *text;
	size_t len;
	TimestampTz started;
	bool has_token;
	bool has_grams;
} statement;
static uint64 grams[GRAM_BITS / 64];

/* Call take() for each GRAM bytes of a run, with their hash; a rolling one, so each byte costs the same. */
static bool
each_gram(const char *run, size_t len, bool (*take)(uint32))
{
	const uint32 base = 0x01000193;
	uint32 leaving = 1; /* base to the power of GRAM */
	uint32 hash = 0;

	for (int i = 0; i < GRAM; i++)
		leaving *= base;
	for (size_t i = 0; i < len; i++)
	{
		hash = hash * base + pg_ascii_tolower((unsigned char) run[i]) + 1;
		if (i >= GRAM)
			hash -= leaving * (pg_ascii_tolower((unsigned char) run[i - GRAM]) + 1);
		if (i + 1 >= GRAM && !take(((hash >> 12) ^ hash) % GRAM_BITS))
			return false;
	}
	return true;
}

static bool
add_gram(uint32 bit)
{
	grams[bit / 64] |= UINT64CONST(1) << (bit % 64);
	return true;
}

static bool
has_gram(uint32 bit)
{
	return (grams[bit / 64] & (UINT64CONST(1) << (bit % 64))) != 0;
}

static size_t
run_length(const char *text)
{
	size_t len = 0;

	while (is_token_char(text[len]))
		len++;
	return len;
}

/* Does the running statement hold a token? */
static bool
statement_has_token(void)
{
	size_t len;

	if (debug_query_string == NULL)
		return false;
	len = strlen(debug_query_string);
	if (statement.text != debug_query_string || statement.len != len ||
		statement.started != GetCurrentStatementStartTimestamp())
	{
		statement.text = debug_query_string;
		statement.len = len;
		statement.started = GetCurrentStatementStartTimestamp();
		statement.has_token = find_mark(debug_query_string) != NULL;
		statement.has_grams = false;
	}
	return statement.has_token;
}

static void
learn_grams(void)
{
	if (statement.has_grams)
		return;
	memset(grams, 0, sizeof(grams));
	for (const char *at = statement.text; (at = find_mark(at)) != NULL;)
	{
		size_t len = run_length(at);

		(void) each_gram(at, len, add_gram);
		at += len;
	}
	statement.has_grams = true;
}

/*
 * A token without quotes is taken apart by the parser, and a syntax error quotes the part that
 * it stopped at: a signature that begins with a digit is junk after a number. Such a part
 * is overwritten in place. One that only looks like it, with all its bytes in other parts, is too.
 */
static void
mask_parts(char *message)
{
	if (message == NULL)
		return;
	learn_grams();
	while (*message != '\0')
	{
		size_t len = run_length(message);

		if (len >= SHORTEST_PART && each_gram(message, len, has_gram))
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

void
log_mask_spare(const ErrorData *edata)
{
	spared = edata;
}

static void
mask_report(ErrorData *edata)
{
	/* edata's own context outlives the report and is reset after it */
	mask_field(&edata->message, edata->assoc_context);
	mask_field(&edata->detail, edata->assoc_context);
	mask_field(&edata->detail_log, edata->assoc_context);
	mask_field(&edata->hint, edata->assoc_context);
	mask_field(&edata->context, edata->assoc_context);
	mask_field(&edata->internalquery, edata->assoc_context);
	if (statement_has_token())
	{
		edata->hide_stmt = true;
		mask_parts(edata->message);
		/* a typo never gets as far as login() */
		if (edata->elevel >= ERROR)
		{
			char *text = masked(debug_query_string, edata->assoc_context);

			pgstat_report_activity(STATE_RUNNING, text);
		}
	}
}

static void
log_mask_emit(ErrorData *edata)
{
	bool is_spared = edata == spared;

	spared = NULL;
	if (!is_spared)
		mask_report(edata);
	if (next_emit_log_hook)
		next_emit_log_hook(edata);
}

void
log_mask_init(void)
{
	next_emit_log_hook = emit_log_hook;
	emit_log_hook = log_mask_emit;
}
