/*
 * src/oauth/store.h
 *		The tables of sql/oauth/10_tables.sql, read and written as PostgreSQL does with its catalogs.
 *
 * Nothing of the caller is resolved: no name, no operator, no setting, no privilege. Every read
 * takes a new snapshot, whatever the isolation level, and sees what this transaction wrote.
 * Knows nothing of what the rows mean.
 */
#ifndef SMART_FHIR_OAUTH_STORE_H
#define SMART_FHIR_OAUTH_STORE_H

#include "access/genam.h"
#include "access/htup.h"
#include "storage/itemptr.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

typedef enum StoreTable
{
	STORE_CONFIGURATION,
	STORE_SIGNING_KEY,
	STORE_CLIENT,
	STORE_CLIENT_EVENT,
	STORE_CLIENT_SECRET,
	STORE_LAUNCH,
	STORE_GRANT,
	STORE_GRANT_END,
	STORE_ENDING,
	STORE_CODE,
	STORE_REFRESH_TOKEN,
	STORE_JTI,
	STORE_RECEIPT,
	STORE_FAILURE,
	STORE_REGISTRATION_TOKEN,
	STORE_CDS_CLIENT,
	STORE_DEVICE_CODE,
	STORE_GUESS,
	STORE_N_TABLES
} StoreTable;

/* Columns, by number, in the order of the tables. */
enum
{
	CONFIGURATION_SINGLETON = 1,
	CONFIGURATION_OPTIONS,

	SIGNING_KEY_KID = 1,
	SIGNING_KEY_ALGORITHM,
	SIGNING_KEY_PUBLIC,
	SIGNING_KEY_PRIVATE,
	SIGNING_KEY_SEALED,
	SIGNING_KEY_SIGNS_FROM,
	SIGNING_KEY_RETIRED_AT,

	CLIENT_CLIENT_ID = 1,
	CLIENT_METADATA,
	CLIENT_GIVEN,
	CLIENT_FETCHED_JWKS,
	CLIENT_DYNAMIC,
	CLIENT_GRANT_ID,
	CLIENT_MADE_AT,
	CLIENT_CHANGED_AT,
	CLIENT_EXPIRES_AT,

	CLIENT_EVENT_CLIENT_ID = 1,
	CLIENT_EVENT_EVENT,
	CLIENT_EVENT_AT,
	CLIENT_EVENT_GRANT_ID,

	CLIENT_SECRET_CLIENT_ID = 1,
	CLIENT_SECRET_HASH,
	CLIENT_SECRET_MADE_AT,
	CLIENT_SECRET_EXPIRES_AT,

	LAUNCH_HASH = 1,
	LAUNCH_CLIENT_ID,
	LAUNCH_SUB,
	LAUNCH_FHIR_USER,
	LAUNCH_CONTEXT,
	LAUNCH_MADE_AT,
	LAUNCH_EXPIRES_AT,

	GRANT_GRANT_ID = 1,
	GRANT_CLIENT_ID,
	GRANT_SUB,
	GRANT_SESSION,
	GRANT_PATIENT,
	GRANT_ENCOUNTER,
	GRANT_FHIR_USER,
	GRANT_AUDIENCE,
	GRANT_SCOPE,
	GRANT_CONTEXT,
	GRANT_REFRESH,
	GRANT_AUTH_TIME,
	GRANT_GRANTED_AT,
	GRANT_ENDS_AT,
	GRANT_EXPIRES_AT,

	GRANT_END_GRANT_ID = 1,
	GRANT_END_ENDED_AT,
	GRANT_END_EXPIRES_AT,

	ENDING_SUB = 1,
	ENDING_CLIENT_ID,
	ENDING_PATIENT,
	ENDING_SESSION,
	ENDING_ENDED_AT,
	ENDING_EXPIRES_AT,

	CODE_HASH = 1,
	CODE_GRANT_ID,
	CODE_CLIENT_ID,
	CODE_REDIRECT_URI,
	CODE_CODE_CHALLENGE,
	CODE_NONCE,
	CODE_MADE_AT,
	CODE_EXPIRES_AT,
	CODE_USED_AT,
	CODE_KEPT_UNTIL,

	REFRESH_TOKEN_HASH = 1,
	REFRESH_TOKEN_GRANT_ID,
	REFRESH_TOKEN_CLIENT_ID,
	REFRESH_TOKEN_MADE_AT,
	REFRESH_TOKEN_EXPIRES_AT,
	REFRESH_TOKEN_USED_AT,

	JTI_HASH = 1,
	JTI_EXPIRES_AT,

	RECEIPT_HASH = 1,
	RECEIPT_ANSWER,
	RECEIPT_OWNER,
	RECEIPT_MADE_BY,
	RECEIPT_CLIENT_ID,
	RECEIPT_GRANT_ID,
	RECEIPT_MADE_AT,
	RECEIPT_EXPIRES_AT,

	FAILURE_SLOT = 1,
	FAILURE_KEY,
	FAILURE_SINCE,
	FAILURE_FAILURES,

	REGISTRATION_TOKEN_HASH = 1,
	REGISTRATION_TOKEN_EXPIRES_AT,

	CDS_CLIENT_ISS = 1,
	CDS_CLIENT_JWKS,
	CDS_CLIENT_JKU,
	CDS_CLIENT_TENANTS,

	DEVICE_CODE_HASH = 1,
	DEVICE_CODE_USER_CODE,
	DEVICE_CODE_CLIENT_ID,
	DEVICE_CODE_AUDIENCE,
	DEVICE_CODE_SCOPE,
	DEVICE_CODE_MADE_AT,
	DEVICE_CODE_EXPIRES_AT,
	DEVICE_CODE_POLLED_AT,
	DEVICE_CODE_DENIED_AT,
	DEVICE_CODE_KEPT_UNTIL,

	GUESS_PERSON = 1,
	GUESS_SINCE,
	GUESS_GUESSES,
	GUESS_UNUSED
};

#define STORE_MAX_COLUMNS 16

/* Indexes to search by; each has one key column unless said otherwise. */
typedef enum StoreIndex
{
	STORE_CONFIGURATION_ALL, /* no key */
	STORE_SIGNING_KEY_ALL,	 /* no key */
	STORE_SIGNING_KEY_BY_KID,
	STORE_CLIENT_BY_ID,
	STORE_CLIENT_EVENT_BY_CLIENT, /* in the order of at */
	STORE_CLIENT_SECRET_BY_CLIENT,
	STORE_LAUNCH_BY_HASH,
	STORE_LAUNCH_ALL, /* no key */
	STORE_GRANT_BY_ID,
	STORE_GRANT_BY_SUB,
	STORE_GRANT_BY_CLIENT,
	STORE_GRANT_ALL, /* no key */
	STORE_GRANT_END_BY_GRANT,
	STORE_ENDING_BY_SUB,
	STORE_CODE_BY_HASH,
	STORE_CODE_BY_GRANT,
	STORE_CODE_ALL, /* no key */
	STORE_REFRESH_TOKEN_BY_HASH,
	STORE_REFRESH_TOKEN_BY_GRANT, /* in the order of made_at */
	STORE_JTI_BY_HASH,
	STORE_RECEIPT_BY_HASH,
	STORE_RECEIPT_ALL, /* no key */
	STORE_FAILURE_BY_SLOT,
	STORE_REGISTRATION_TOKEN_BY_HASH,
	STORE_CDS_CLIENT_BY_ISS,
	STORE_DEVICE_CODE_BY_HASH,
	STORE_DEVICE_CODE_BY_USER_CODE,
	STORE_N_INDEXES
} StoreIndex;

/* A row, palloc'd with all that its values point to. values[] is by column number. */
typedef struct StoreRow
{
	StoreTable table;
	ItemPointerData tid;
	HeapTuple tuple; /* what the values point into; NULL for a row that is being made */
	Datum values[STORE_MAX_COLUMNS + 1];
	bool nulls[STORE_MAX_COLUMNS + 1];
	bool unpacked[STORE_MAX_COLUMNS +
				  1]; /* the value was in short or compressed form, or elsewhere */
} StoreRow;

typedef struct StoreScan StoreScan;

/* The rows whose key is this (0 for an index without), oldest version rules as for one statement. */
extern StoreScan *store_scan_begin(StoreIndex index, Datum key);
extern StoreRow *store_scan_next(StoreScan *scan); /* NULL: no more */
extern void store_scan_end(StoreScan *scan);
/* Give back a row of a long scan that nothing was changed in. */
extern void store_free(StoreRow *row);

/* The one row, or NULL. */
extern StoreRow *store_find(StoreIndex index, Datum key);
/* All of them. */
extern List *store_find_all(StoreIndex index, Datum key);

/* An empty row, all NULL, to fill and insert. */
extern StoreRow *store_row(StoreTable table);
extern void store_set(StoreRow *row, int column, Datum value);
extern void store_set_text(StoreRow *row, int column, const char *text); /* NULL: NULL */
extern void store_insert(StoreRow *row);
/*
 * Insert it unless there is one of its key in this unique index, or one is committed by whoever is at it, which is
 * waited for. False: there is one.
 */
extern bool store_insert_new(StoreRow *row, StoreIndex index);

/*
 * Lock a row that was found, waiting for whoever has it, and read its newest version. False
 * when it is gone by then; true when it may be updated or deleted: look at its values again.
 */
extern bool store_lock(StoreRow *row);
/* The same without waiting; false also when somebody has it. */
extern bool store_try_lock(StoreRow *row);
extern void store_update(StoreRow *row); /* to what values and nulls are now; locked before */
extern void store_delete(StoreRow *row); /* locked before */

/*
 * Some rows whose time is over, locked, without those that others have locked. For tables with such a time
 * only.
 */
extern List *store_expired(StoreTable table);
/* Delete some of them. */
extern void store_clean(StoreTable table);
/* The same, now and then: one call in some does more than one call's share. */
extern void store_clean_sometimes(StoreTable table);
/* Is this the one? */
extern bool store_cleans_now(void);

/* Value of a column; NULL or 0 when it is NULL. Texts are C strings, palloc'd. */
extern char *store_text(const StoreRow *row, int column);
extern bytea *store_bytea(const StoreRow *row, int column);
extern Jsonb *store_jsonb(const StoreRow *row, int column);
extern TimestampTz store_time(const StoreRow *row, int column);
extern bool store_bool(const StoreRow *row, int column);

/*
 * Moves whenever rows of the configuration, the signing keys, the clients or their events may have
 * changed, by whomever: what was read of them under one value holds while it stays. What another
 * session has committed counts, as for a read.
 */
extern uint64 store_epoch(void);
extern void store_init(void);

/* 55000 when CREATE EXTENSION smart_fhir_oauth was not run in this database. */
extern Oid store_table_oid(StoreTable table);

#endif /* SMART_FHIR_OAUTH_STORE_H */
