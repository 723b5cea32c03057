/*
 * src/session/session.c
 *		The setting that carries the session, and who may change it.
 *
 * smart_fhir.session is PGC_SUSET, and its check hook takes a non-empty value only while
 * session_set() runs or a parallel worker starts: so neither SET, ALTER ROLE, ALTER SYSTEM,
 * GRANT SET ON PARAMETER nor a superuser's definer function can forge one. The hook turns the
 * text into a Session that the GUC machinery keeps ("extra"); the assign hook only stores the
 * pointer, so ROLLBACK, ROLLBACK TO and the end of SET LOCAL bring back the right one.
 *
 * Narrowing must outlive a rollback: a logout or a refused login that was rolled back would
 * bring the old value back. So each session has a generation, and session_floor, which no
 * rollback lowers, is raised to the newest generation by both: what is at or below it is no
 * session. Parallel workers do not know the floor; session_clear_dead_value() empties the
 * setting before any start.
 *
 * Knows nothing of tokens, rows or policies.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "session/session.h"

#define SESSION_SETTING "smart_fhir.session"

/* smart_fhir.session: set by smart.login() alone; empty means nobody is logged in. */
static char *guc_session = NULL;

static void (*on_prepare)(Session *session) = NULL;
static void (*on_reset)(void) = NULL;
static const Session *assigned = NULL; /* what the setting holds, dead or alive */
static const Session *offered = NULL;  /* non-NULL only inside session_set() */
static uint64 last_generation = 0;
static uint64 session_floor = 0;
static uint64 epoch = 1;

/*
 * A setting's value is a C string, a Session is full of zero bytes. So it is written in blocks, each with a
 * byte in front that does not occur in it, combined with each byte of the block by exclusive or: then
 * none is zero. 254 bytes cannot have all of the 255 values.
 */
#define BLOCK_BYTES 254

static void
combine(unsigned char *out, const unsigned char *in, int n, unsigned char key)
{
	const uint64 keys = UINT64CONST(0x0101010101010101) * key;
	int i = 0;

	/* login() runs at each request */
	for (; i + (int) sizeof(keys) <= n; i += (int) sizeof(keys))
	{
		uint64 word;

		memcpy(&word, in + i, sizeof(word));
		word ^= keys;
		memcpy(out + i, &word, sizeof(word));
	}
	for (; i < n; i++)
		out[i] = in[i] ^ key;
}

static char *
session_encode(const Session *session)
{
	const unsigned char *in = (const unsigned char *) session;
	int left = session->size;
	unsigned char *start = palloc(left + left / BLOCK_BYTES + 2);
	unsigned char *out = start;

	while (left > 0)
	{
		int n = Min(left, BLOCK_BYTES);
		unsigned char key = 0xFF;

		while (memchr(in, key, n) != NULL)
			key--;
		*out++ = key;
		combine(out, in, n, key);
		out += n;
		in += n;
		left -= n;
	}
	*out = 0;
	return (char *) start;
}

/* The inverse, into a new GUC allocation; NULL when the text is no session. */
static Session *
session_decode(const char *text)
{
	const unsigned char *in = (const unsigned char *) text;
	int left = (int) strlen(text);
	unsigned char *out = guc_extra_alloc(left + 1);
	Session *session = (Session *) out;
	size_t n = 0;

	if (out == NULL)
		return NULL;
	while (left > 1)
	{
		int block = Min(left - 1, BLOCK_BYTES);

		combine(out + n, in + 1, block, *in);
		n += block;
		in += block + 1;
		left -= block + 1;
	}
	if (n < sizeof(Session) || session->magic != SESSION_MAGIC || session->size != (int32) n)
	{
		guc_extra_free(out);
		return NULL;
	}
	/* the leader's count says nothing here */
	session->issuer_epoch = 0;
	return session;
}

void
session_check_may_change(void)
{
	if (InSecurityRestrictedOperation())
		ereport(
			ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("the session cannot be changed within a security-restricted operation"),
			errdetail("An expression of a table is evaluated, for a policy, an index or a view."),
			errhidestmt(true),
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "restricted_operation"));
}

static bool
session_check_hook(char **newval, void **extra, GucSource source)
{
	Session *copy;

	if (*newval == NULL || **newval == '\0')
	{
		*extra = NULL;
		if (session_current() == NULL || !InSecurityRestrictedOperation())
			return true;
		GUC_check_errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE);
		GUC_check_errmsg("parameter \"%s\" cannot be reset within a security-restricted operation",
						 SESSION_SETTING);
		return false;
	}
	if (offered != NULL)
	{
		copy = guc_extra_alloc(offered->size);
		if (copy == NULL)
			return false;
		memcpy(copy, offered, offered->size);
	}
	/* a worker also applies settings of its role and database, which are from other sources */
	else if (InitializingParallelWorker && source == PGC_S_SESSION)
	{
		copy = session_decode(*newval);
		if (copy == NULL)
			return false;
	}
	else
	{
		GUC_check_errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
		GUC_check_errmsg("parameter \"%s\" cannot be set", SESSION_SETTING);
		GUC_check_errhint("Log in with smart.login().");
		return false;
	}
	*extra = copy;
	return true;
}

static void
session_assign_hook(const char *newval, void *extra)
{
	assigned = extra;
	epoch++;
	/* a rollback, and the end of SET LOCAL, come when the transaction is over */
	if (extra == NULL && on_reset != NULL && IsTransactionState())
		on_reset();
}

static const char *
session_show_hook(void)
{
	return session_current() != NULL ? "<hidden>" : "";
}

void
session_init(void)
{
	DefineCustomStringVariable(
		SESSION_SETTING,
		"Holds the verified token's session.",
		"Only smart.login() and smart.assume() give it a value. Reset ends the session.",
		&guc_session,
		"",
		PGC_SUSET,
		GUC_NO_SHOW_ALL | GUC_DISALLOW_IN_FILE | GUC_NOT_IN_SAMPLE,
		session_check_hook,
		session_assign_hook,
		session_show_hook);
}

void
session_on_prepare(void (*prepare)(Session *session))
{
	on_prepare = prepare;
}

void
session_on_reset(void (*reset)(void))
{
	on_reset = reset;
}

bool
session_may_return(const Session *session)
{
	return session->generation > session_floor;
}

const Session *
session_current(void)
{
	if (assigned == NULL || assigned->generation <= session_floor)
		return NULL;
	return assigned;
}

uint64
session_generation(void)
{
	const Session *session = session_current();

	return session ? session->generation : 0;
}

uint64
session_epoch(void)
{
	return epoch;
}

uint64
session_next_generation(void)
{
	return ++last_generation;
}

uint64
session_raise_floor(void)
{
	uint64 former = session_floor;

	session_floor = last_generation;
	epoch++;
	return former;
}

void
session_restore_floor(uint64 floor)
{
	session_floor = floor;
	epoch++;
}

void
session_set(Session *session, bool local)
{
	char *text;

	Assert(session->generation > session_floor);
	if (on_prepare != NULL)
		on_prepare(session);
	text = session_encode(session);
	offered = session;
	PG_TRY();
	{
		(void) set_config_option(SESSION_SETTING,
								 text,
								 PGC_SUSET,
								 PGC_S_SESSION,
								 local ? GUC_ACTION_LOCAL : GUC_ACTION_SET,
								 true,
								 0,
								 false);
	}
	PG_FINALLY();
	{
		offered = NULL;
	}
	PG_END_TRY();
	pfree(text);
}

void
session_end(void)
{
	(void) session_raise_floor();
	session_clear_dead_value();
}

void
session_clear_dead_value(void)
{
	if (assigned == NULL || session_current() != NULL || IsInParallelMode())
		return;
	(void) set_config_option(
		SESSION_SETTING, "", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
}

static const struct
{
	const char *name;
	SessionInteraction interaction;
} interactions[] = {
	{"read", INTERACTION_READ},
	{"vread", INTERACTION_READ},
	{"history", INTERACTION_READ},
	{"search", INTERACTION_SEARCH},
	{"create", INTERACTION_CREATE},
	{"update", INTERACTION_UPDATE},
	{"patch", INTERACTION_UPDATE},
	{"delete", INTERACTION_DELETE},
};

bool
session_interaction_parse(const char *name, int32 *interaction, int32 *name_index)
{
	*interaction = INTERACTION_NONE;
	*name_index = 0;
	if (name == NULL)
		return true;
	for (size_t i = 0; i < lengthof(interactions); i++)
	{
		if (strcmp(name, interactions[i].name) == 0)
		{
			*interaction = interactions[i].interaction;
			*name_index = i + 1;
			return true;
		}
	}
	return false;
}

const char *
session_interaction_name(int32 name_index)
{
	return name_index == 0 ? NULL : interactions[name_index - 1].name;
}
