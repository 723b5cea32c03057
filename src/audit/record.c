/*
 * src/audit/record.c
 *		Records: their first members, their mac, their number. Knows nothing of what happened.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "audit/identity.h"
#include "audit/log.h"
#include "audit/record.h"
#include "session/stat.h"

/* `,"clipped":true` and the mac */
#define ROOM_TO_END (16 + 9 + IDENTITY_MAC_HEX + 2)

static char buffer[RECORD_BYTES + 1];
static AuditText record;
static int64 written = 0;
static void (*at_exit)(int code, Datum arg) = NULL;

/* What does not change in a session, as members: made once. */
static char *session_members = NULL;
static int session_members_len;
/* Whom SET ROLE has made of the user, whatever function runs, as it was last seen. */
static Oid role_oid = InvalidOid;
static char role_name[NAMEDATALEN];
/* Who connected, where that is another one. */
static Oid user_oid = InvalidOid;
static char user_name[NAMEDATALEN];

/* The time, of which all but the microseconds is made once a second. */
static void
put_time(AuditText *out)
{
	static char text[] = "{\"at\":\"0000-00-00T00:00:00.000000Z\"";
	static TimestampTz second = DT_NOEND;
	const int places = sizeof("{\"at\":\"0000-00-00T00:00:00.") - 1;
	TimestampTz now = GetCurrentTimestamp();
	int64 usecs = now % USECS_PER_SEC;

	if (usecs < 0)
		usecs += USECS_PER_SEC;
	if (second != now - usecs)
	{
		struct pg_tm tm;
		fsec_t fsec;
		char made[64];

		second = now - usecs;
		if (timestamp2tm(second, NULL, &tm, &fsec, NULL, NULL) != 0)
			memset(&tm, 0, sizeof(tm));
		snprintf(made,
				 sizeof(made),
				 "{\"at\":\"%04d-%02d-%02dT%02d:%02d:%02d.",
				 tm.tm_year % 10000,
				 tm.tm_mon,
				 tm.tm_mday,
				 tm.tm_hour,
				 tm.tm_min,
				 tm.tm_sec);
		memcpy(text, made, places);
	}
	for (int i = 5; i >= 0; i--, usecs /= 10)
		text[places + i] = (char) ('0' + usecs % 10);
	(void) text_raw(out, text, sizeof(text) - 1);
}

/* What a function without arguments says of the connection; false: NULL. */
static bool
ask_connection(PGFunction function, Datum *value)
{
	FmgrInfo flinfo = {.fn_mcxt = CurrentMemoryContext};
	LOCAL_FCINFO(fcinfo, 0);

	InitFunctionCallInfoData(*fcinfo, &flinfo, 0, InvalidOid, NULL, NULL);
	*value = function(fcinfo);
	return !fcinfo->isnull;
}

/* PostgreSQL's headers that tell of a connection need those of GSSAPI: so its functions are asked. */
static void
put_connection(AuditText *out)
{
	char id[64];
	Datum value;

	snprintf(id, sizeof(id), "%lx.%x", (unsigned long) MyStartTime, MyProcPid);
	text_member(out, "session", id);
	if (MyProcPort == NULL)
		return;
	if (ask_connection(inet_client_addr, &value))
		text_member(out, "client_addr", DatumGetCString(DirectFunctionCall1(inet_out, value)));
	if (ask_connection(inet_client_port, &value))
		text_number(out, "client_port", DatumGetInt32(value));
	if (ask_connection(inet_server_addr, &value))
		text_member(out, "server_addr", DatumGetCString(DirectFunctionCall1(inet_out, value)));
	else
		text_member(out, "server_addr", "[local]");
}

static void
put_session_members(AuditText *out)
{
	int start = out->len;
	char *copy;

	if (session_members != NULL)
	{
		(void) text_raw(out, session_members, session_members_len);
		return;
	}
	put_connection(out);
	copy = MemoryContextAllocExtended(TopMemoryContext, out->len - start, MCXT_ALLOC_NO_OOM);
	if (copy == NULL)
		return;
	memcpy(copy, out->data + start, out->len - start);
	session_members_len = out->len - start;
	session_members = copy;
}

static const char *
database(void)
{
	static char *name = NULL;

	if (name == NULL && IsTransactionState())
	{
		char *found = get_database_name(MyDatabaseId);

		name = found == NULL ? NULL : MemoryContextStrdup(TopMemoryContext, found);
	}
	return name;
}

static void
note_name(Oid now, Oid *known, char *copy)
{
	char *name;

	if (now == *known || (name = GetUserNameFromId(now, true)) == NULL)
		return;
	strlcpy(copy, name, NAMEDATALEN);
	*known = now;
	pfree(name);
}

void
record_note_role(void)
{
	if (!IsTransactionState())
		return;
	note_name(GetOuterUserId(), &role_oid, role_name);
	if (GetSessionUserId() != role_oid)
		note_name(GetSessionUserId(), &user_oid, user_name);
}

AuditText *
record_begin(const char *event)
{
	if (IsTransactionState())
		(void) identity_load();
	record_note_role();
	record.data = buffer;
	record.len = 0;
	record.size = RECORD_BYTES - ROOM_TO_END;
	record.clipped = false;
	put_time(&record);
	text_member(&record, "event", event);
	text_number(&record, "seq", written + 1);
	text_member(&record, "database", database());
	text_member(&record, "role", role_oid == InvalidOid ? NULL : role_name);
	if (user_oid == GetSessionUserId() && user_oid != role_oid)
		text_member(&record, "session_user", user_name);
	if (application_name != NULL && *application_name != '\0')
		text_member(&record, "application_name", application_name);
	put_session_members(&record);
	if (RecoveryInProgress())
		text_true(&record, "standby");
	return &record;
}

void
record_write(void)
{
	char mac[IDENTITY_MAC_HEX + 1];

	record.size = RECORD_BYTES;
	if (record.clipped)
		text_true(&record, "clipped");
	/* the mac is over the object as it would be without it */
	record.data[record.len++] = '}';
	if (identity_mac(record.data, record.len, mac))
		record.len += snprintf(record.data + record.len - 1,
							   RECORD_BYTES - record.len + 2,
							   ",\"mac\":\"%s\"}",
							   mac) -
					  1;
	record.data[record.len] = '\0';
	if (written++ == 0 && at_exit != NULL)
		on_proc_exit(at_exit, (Datum) 0);
	audit_log_write(record.data);
	stat_count(STAT_AUDIT_RECORDS);
}

int64
record_count(void)
{
	return written;
}

void
record_at_exit(void (*callback)(int code, Datum arg))
{
	at_exit = callback;
}
