/*
 * programs/smart_fhir_keys/database.h
 *		A connection to a database, and the statements of smart_fhir that this program may use.
 *
 * Nothing waits longer than a fixed time, nor past the program's end: whatever fails then leaves
 * the connection closed.
 */
#ifndef SMART_FHIR_KEYS_DATABASE_H
#define SMART_FHIR_KEYS_DATABASE_H

#include <stdbool.h>
#include <stddef.h>

#include <libpq-fe.h>

typedef enum SourceKind
{
	SOURCE_ISSUER,
	SOURCE_CLIENT
} SourceKind;

typedef struct Database
{
	const char *conninfo;
	PGconn *conn;	  /* NULL: not connected */
	char name[64];	  /* for messages */
	bool standby;	  /* as database_look() found it */
	bool has_clients; /* smart_fhir_oauth is there */
	bool listening;
} Database;

/* What a row of a source says; texts are in result. */
typedef struct SourceRow
{
	const char *name;
	const char *jwks_uri;	   /* NULL: to be discovered */
	const char *metadata_base; /* NULL: none */
	bool public_only;
	double due_in;	  /* seconds from now */
	double tried_ago; /* seconds; negative: never */
	int failures;
} SourceRow;

extern bool database_connect(Database *db);
extern void database_close(Database *db);

/* Sets standby and has_clients; begins to listen on a primary. */
extern bool database_look(Database *db);

/* The sources of a kind, in the order of their names' bytes; NULL: it failed. */
extern PGresult *database_sources(Database *db, SourceKind kind);
extern SourceRow database_source_row(const PGresult *result, SourceKind kind, int row);

/* The claim, to be freed; NULL: not now, or it failed. uri is a client's. */
extern char *database_begin(Database *db, SourceKind kind, const char *name, const char *uri,
							const char *reason, double lease);

/* stored, superseded, json, keys, to be freed; NULL: it failed. */
extern char *database_take(Database *db, SourceKind kind, const char *name, const char *uri,
						   const char *body, size_t len, double fresh, double stale,
						   const char *claim);
extern bool database_failed(Database *db, SourceKind kind, const char *name, const char *error,
							double next_try, const char *claim);

/* The jwks_uri of a discovery document, to be freed; NULL: it has none, or it failed. */
extern char *database_discovered(Database *db, const char *issuer, const char *body, size_t len);

/* The database's time so many seconds from now, to be freed; NULL: it failed. */
extern char *database_time_after(Database *db, double seconds);
/* The rows for the keys file, good until then at most; NULL: it failed. */
extern PGresult *database_file_rows(Database *db, const char *until);

/* The issuer that somebody asked an early fetch for, to be freed; NULL: no more of them. */
extern char *database_request(Database *db);

#endif /* SMART_FHIR_KEYS_DATABASE_H */
