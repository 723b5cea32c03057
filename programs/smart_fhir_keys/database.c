/*
 * programs/smart_fhir_keys/database.c
 *		The connection, and the statements: functions that smart.grant_keys() gives, and no table.
 *		What a peer sent goes through as bytes, so that no error and no log shows it.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database.h"
#include "log.h"
#include "stop.h"

#define CONNECT_SECONDS 10
/* The server gives up after 10 s; what it says then may take a little longer. */
#define STATEMENT_SECONDS 15

static const char settings[] =
	"SELECT pg_catalog.set_config(s.name, s.value, false) FROM (VALUES ('search_path', "
	"'pg_catalog'), "
	"('datestyle', 'ISO'), ('statement_timeout', '10s'), ('lock_timeout', '5s'), "
	"('idle_in_transaction_session_timeout', '10s')) s (name, value)";

static void
ignore_notice(void *arg, const PGresult *result)
{
}

static char *
copy(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) ? NULL : strdup(PQgetvalue(result, row, column));
}

/* Wait for the socket. False: the time is over, or the program ends. */
static bool
wait_socket(const PGconn *conn, short events, double until)
{
	struct pollfd fds[] = {{.fd = PQsocket(conn), .events = events},
						   {.fd = stop_fd(), .events = POLLIN}};

	for (;;)
	{
		double left = until - now_seconds();

		if (left <= 0 || stopping() || fds[0].fd < 0)
			return false;
		if (poll(fds, 2, (int) (left * 1000) + 1) > 0 && fds[0].revents != 0)
			return true;
	}
}

void
database_close(Database *db)
{
	PQfinish(db->conn);
	db->conn = NULL;
	db->listening = false;
}

static bool
lost(Database *db)
{
	if (!stopping())
		log_event(db->name, "connection lost");
	database_close(db);
	return false;
}

/* Everything that a statement answers; NULL: the connection is gone. */
static PGresult *
collect(Database *db)
{
	double until = now_seconds() + STATEMENT_SECONDS;
	PGresult *last = NULL;
	PGresult *next;

	for (;;)
	{
		int unsent = PQflush(db->conn);

		if (unsent >= 0 && (unsent > 0 || PQisBusy(db->conn)))
		{
			if (wait_socket(db->conn, unsent > 0 ? POLLIN | POLLOUT : POLLIN, until) &&
				PQconsumeInput(db->conn))
				continue;
			PQclear(last);
			lost(db);
			return NULL;
		}
		next = PQgetResult(db->conn);
		if (next == NULL)
			return last;
		PQclear(last);
		last = next;
	}
}

/*
 * Run one statement. Its rows, or NULL after a complaint; then the connection may be closed. A
 * value of length -1 is a text, another one bytes.
 */
static PGresult *
run(Database *db, const char *sql, int n, const char *const *values, const int *lengths)
{
	int formats[8] = {0};
	PGresult *result;
	ExecStatusType status;

	for (int i = 0; i < n; i++)
		formats[i] = lengths != NULL && lengths[i] >= 0;
	if (db->conn == NULL || !PQsendQueryParams(db->conn, sql, n, NULL, values, lengths, formats, 0))
	{
		if (db->conn != NULL)
			lost(db);
		return NULL;
	}
	result = collect(db);
	status = PQresultStatus(result);
	if (result == NULL || status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return result;
	if (PQstatus(db->conn) != CONNECTION_OK)
		lost(db);
	else
	{
		const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
		bool unprepared =
			state != NULL && (strcmp(state, "42501") == 0 || strcmp(state, "42883") == 0 ||
							  strcmp(state, "3F000") == 0);

		log_event(db->name,
				  "a statement failed with SQLSTATE %s%s",
				  state == NULL ? "XX000" : state,
				  unprepared
					  ? ": is the extension there, and did smart.grant_keys() name this role?"
					  : "");
		/* it is not for this program: close, and try again later */
		if (unprepared)
			database_close(db);
	}
	PQclear(result);
	return NULL;
}

/* The first value of a statement, to be freed. */
static char *
run_value(Database *db, const char *sql, int n, const char *const *values, const int *lengths)
{
	PGresult *result = run(db, sql, n, values, lengths);
	char *value = result != NULL && PQntuples(result) > 0 ? copy(result, 0, 0) : NULL;

	PQclear(result);
	return value;
}

static bool
start_connection(Database *db)
{
	const char *const keywords[] = {"dbname", "fallback_application_name", "client_encoding", NULL};
	const char *const values[] = {db->conninfo, "smart_fhir_keys", "UTF8", NULL};
	double until = now_seconds() + CONNECT_SECONDS;
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;

	db->conn = PQconnectStartParams(keywords, values, 1);
	if (db->conn == NULL || PQstatus(db->conn) == CONNECTION_BAD)
		return false;
	PQsetNoticeReceiver(db->conn, ignore_notice, NULL);
	while (status != PGRES_POLLING_OK)
	{
		if (!wait_socket(db->conn, status == PGRES_POLLING_READING ? POLLIN : POLLOUT, until))
			return false;
		status = PQconnectPoll(db->conn);
		if (status == PGRES_POLLING_FAILED)
			return false;
	}
	return PQsetnonblocking(db->conn, 1) == 0;
}

bool
database_connect(Database *db)
{
	PGresult *result;

	db->has_clients = db->standby = false;
	if (!start_connection(db))
	{
		if (!stopping())
			log_event(db->name,
					  "no connection: %s",
					  db->conn == NULL || PQerrorMessage(db->conn)[0] == '\0'
						  ? "it took too long"
						  : PQerrorMessage(db->conn));
		database_close(db);
		return false;
	}
	snprintf(db->name, sizeof(db->name), "%s", PQdb(db->conn));
	result = run(db, settings, 0, NULL, NULL);
	PQclear(result);
	return result != NULL;
}

bool
database_look(Database *db)
{
	PGresult *result =
		run(db,
			"SELECT pg_is_in_recovery(), CASE WHEN "
			"to_regprocedure('smart_internal.oauth_key_sources()') IS NULL "
			"THEN false ELSE has_function_privilege('smart_internal.oauth_key_sources()', "
			"'EXECUTE') END",
			0,
			NULL,
			NULL);

	if (result == NULL)
		return false;
	db->standby = strcmp(PQgetvalue(result, 0, 0), "t") == 0;
	db->has_clients = strcmp(PQgetvalue(result, 0, 1), "t") == 0;
	PQclear(result);
	if (!db->standby && !db->listening)
	{
		result = run(db, "LISTEN smart_fhir_keys", 0, NULL, NULL);
		db->listening = result != NULL;
		PQclear(result);
		return db->listening;
	}
	return true;
}

#define TIMES                                                                                      \
	"extract(epoch FROM s.next_try - clock_timestamp()), "                                         \
	"extract(epoch FROM clock_timestamp() - s.tried_at), s.failures "

PGresult *
database_sources(Database *db, SourceKind kind)
{
	return run(db,
			   kind == SOURCE_ISSUER
				   ? "SELECT s.issuer, s.jwks_uri, s.metadata_base, false, " TIMES
					 "FROM smart_internal.key_sources() s ORDER BY s.issuer COLLATE \"C\""
				   : "SELECT s.client_id, s.jwks_uri, NULL, s.public_only, " TIMES
					 "FROM smart_internal.oauth_key_sources() s ORDER BY s.client_id COLLATE \"C\"",
			   0,
			   NULL,
			   NULL);
}

static const char *
text_or_null(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

static double
number_or(const PGresult *result, int row, int column, double otherwise)
{
	const char *text = text_or_null(result, row, column);

	return text == NULL ? otherwise : strtod(text, NULL);
}

SourceRow
database_source_row(const PGresult *result, SourceKind kind, int row)
{
	return (SourceRow){
		.name = PQgetvalue(result, row, 0),
		.jwks_uri = text_or_null(result, row, 1),
		.metadata_base = text_or_null(result, row, 2),
		.public_only = strcmp(PQgetvalue(result, row, 3), "t") == 0,
		.due_in = number_or(result, row, 4, 0),
		.tried_ago = number_or(result, row, 5, -1),
		.failures = atoi(PQgetvalue(result, row, 6)),
	};
}

/* Seconds as a parameter. */
typedef struct Number
{
	char text[32];
} Number;

static Number
number(double seconds)
{
	Number n;

	snprintf(n.text, sizeof(n.text), "%.3f", seconds);
	return n;
}

#define INTERVAL(n) "make_interval(secs => $" #n "::float8)"

char *
database_begin(Database *db, SourceKind kind, const char *name, const char *uri, const char *reason,
			   double lease)
{
	const Number secs = number(lease);

	if (kind == SOURCE_ISSUER)
		return run_value(db,
						 "SELECT smart_internal.begin_fetch($1, $2, " INTERVAL(3) ")",
						 3,
						 (const char *const[]){name, reason, secs.text},
						 NULL);
	return run_value(db,
					 "SELECT smart_internal.oauth_begin_fetch($1, $2, $3, " INTERVAL(4) ")",
					 4,
					 (const char *const[]){name, uri, reason, secs.text},
					 NULL);
}

char *
database_take(Database *db, SourceKind kind, const char *name, const char *uri, const char *body,
			  size_t len, double fresh, double stale, const char *claim)
{
	const Number fresh_secs = number(fresh);
	const Number stale_secs = number(stale);
	const int lengths[] = {-1, -1, (int) len, -1, -1, -1};

	if (kind == SOURCE_ISSUER)
		return run_value(
			db,
			"SELECT smart_internal.take_keys($1, $2, $3::bytea, " INTERVAL(4) ", " INTERVAL(
				5) ", $6::timestamptz)",
			6,
			(const char *const[]){name, uri, body, fresh_secs.text, stale_secs.text, claim},
			lengths);
	return run_value(db,
					 "SELECT smart_internal.oauth_take_keys($1, $2, $3::bytea, " INTERVAL(
						 4) ", $5::timestamptz)",
					 5,
					 (const char *const[]){name, uri, body, fresh_secs.text, claim},
					 lengths);
}

bool
database_failed(Database *db, SourceKind kind, const char *name, const char *error, double next_try,
				const char *claim)
{
	const Number secs = number(next_try);
	const char *const values[] = {name, error, secs.text, claim};
	PGresult *result =
		run(db,
			kind == SOURCE_ISSUER
				? "SELECT smart_internal.fetch_failed($1, $2, clock_timestamp() + " INTERVAL(
					  3) ", $4::timestamptz)"
				: "SELECT smart_internal.oauth_fetch_failed($1, $2, clock_timestamp() + " INTERVAL(
					  3) ", $4::timestamptz)",
			4,
			values,
			NULL);

	PQclear(result);
	return result != NULL;
}

char *
database_discovered(Database *db, const char *issuer, const char *body, size_t len)
{
	return run_value(db,
					 "SELECT smart_internal.discovered_uri($1, $2::bytea)",
					 2,
					 (const char *const[]){issuer, body},
					 (const int[]){-1, (int) len});
}

char *
database_time_after(Database *db, double seconds)
{
	const Number secs = number(seconds);

	return run_value(
		db, "SELECT clock_timestamp() + " INTERVAL(1), 1, (const char *const[]){secs.text}, NULL);
}

PGresult *
database_file_rows(Database *db, const char *until)
{
	return run(db,
			   "SELECT smart_internal.keys_file_rows($1::timestamptz)",
			   1,
			   (const char *const[]){until},
			   NULL);
}

char *
database_request(Database *db)
{
	PGnotify *notify;
	char *issuer;

	if (db->conn == NULL)
		return NULL;
	if (!PQconsumeInput(db->conn))
	{
		lost(db);
		return NULL;
	}
	notify = PQnotifies(db->conn);
	if (notify == NULL)
		return NULL;
	issuer = strdup(notify->extra);
	PQfreemem(notify);
	return issuer;
}
