/*
 * src/audit/log.c
 *		Records into the server's log, and the mark of those that are not ours.
 *
 * Our hook is the first that sees a report. What begins like a record there, or anywhere in another
 * report, is marked as forged: in the message, and in each part that a log line may begin with. A
 * statement that has such text is not logged beside an error. Knows nothing of what records say.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "utils/elog.h"

#include "compat.h"
#include "audit/log.h"
#include "session/log_mask.h"

#define FORGED_MARK "forged "

static emit_log_hook_type next_emit_log_hook = NULL;
static const char *written = NULL; /* while a record is */
static int fatal_sqlstate = 0;

void
audit_log_write(const char *record)
{
	ErrorContextCallback *callbacks = error_context_stack;

	/* whole or not at all: a cancel is taken behind it, and nobody's context function runs */
	HOLD_INTERRUPTS();
	error_context_stack = NULL;
	written = record;
	ereport(LOG_SERVER_ONLY,
			errmsg_internal(AUDIT_MARK "%s", record),
			errhidestmt(true),
			errhidecontext(true));
	written = NULL;
	error_context_stack = callbacks;
	RESUME_INTERRUPTS();
}

int
audit_log_fatal(void)
{
	return fatal_sqlstate;
}

/* A copy with each mark made a forged one, or NULL when there is none. */
static char *
without_mark(const char *text, MemoryContext context)
{
	const char *at = text == NULL ? NULL : strstr(text, AUDIT_MARK);
	size_t n = 0;
	char *copy;
	char *out;

	if (at == NULL)
		return NULL;
	for (const char *next = at; next != NULL; next = strstr(next + 1, AUDIT_MARK))
		n++;
	copy = out = MemoryContextAllocExtended(
		context, strlen(text) + n * strlen(FORGED_MARK) + 1, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	/* no room: nothing of it rather than a line that passes for ours */
	if (copy == NULL)
		return MemoryContextStrdup(context, "");
	for (; at != NULL; at = strstr(text, AUDIT_MARK))
	{
		memcpy(out, text, at - text);
		out += at - text;
		memcpy(out, FORGED_MARK AUDIT_MARK, strlen(FORGED_MARK AUDIT_MARK));
		out += strlen(FORGED_MARK AUDIT_MARK);
		text = at + strlen(AUDIT_MARK);
	}
	strcpy(out, text);
	return copy;
}

static void
mark_forged(char **field, MemoryContext context)
{
	char *text = without_mark(*field, context);

	if (text == NULL)
		return;
	pfree(*field);
	*field = text;
}

static void
audit_emit_log(ErrorData *edata)
{
	if (written != NULL && edata->message != NULL &&
		strncmp(edata->message, AUDIT_MARK, strlen(AUDIT_MARK)) == 0 &&
		strcmp(edata->message + strlen(AUDIT_MARK), written) == 0)
		log_mask_spare(edata);
	else
	{
		mark_forged(&edata->message, edata->assoc_context);
		mark_forged(&edata->detail, edata->assoc_context);
		mark_forged(&edata->detail_log, edata->assoc_context);
		mark_forged(&edata->hint, edata->assoc_context);
		mark_forged(&edata->context, edata->assoc_context);
		mark_forged(&edata->internalquery, edata->assoc_context);
		if (debug_query_string != NULL && strstr(debug_query_string, AUDIT_MARK) != NULL)
			edata->hide_stmt = true;
	}
	if (edata->elevel >= FATAL)
		fatal_sqlstate = edata->sqlerrcode;
	if (next_emit_log_hook)
		next_emit_log_hook(edata);
}

void
audit_log_init(void)
{
	next_emit_log_hook = emit_log_hook;
	emit_log_hook = audit_emit_log;
}
