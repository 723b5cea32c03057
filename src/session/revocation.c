/*
 * src/session/revocation.c
 *		Tokens that count no more: smart.revocation.
 *
 * A row is found by its most selective member: the column "lookup" is a hash of which member that
 * is, the issuer and the value, and a token asks for at most five of them. What is found is then
 * compared member by member. So a list of any length costs a token that is new to the backend
 * five index look-ups, and one that it has seen nothing until the list changes.
 *
 * That it has changed is told to every backend, replicas too, by invalidating the relcache entry
 * of a relation that nobody ever opens (smart_internal.revocation_signal): the callback counts,
 * and nothing has to be built anew, however often tokens are revoked. Entries that only go make
 * no difference, so their going is told for the sake of unrevoke() alone.
 *
 * Knows nothing of tokens' signatures or of the authorization server.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "commands/extension.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "session/issuer.h"
#include "session/revocation.h"
#include "session/trail.h"
#include "session/session.h"

/* Columns of smart.revocation, in the order of sql/42_revocation.sql. */
enum
{
	COL_ID = 1,
	COL_ISSUER,
	COL_JTI,
	COL_CLIENT_ID,
	COL_SUBJECT,
	COL_GRANT_ID,
	COL_ISSUED_BEFORE,
	COL_UNTIL,
	COL_LOOKUP,
	N_COLUMNS = COL_LOOKUP
};

/* How many obsolete entries an addition takes out: more than one, so that they get fewer. */
#define OBSOLETE_STEP 8

/* Names of relations are looked up again after either of the first two has changed. */
static Oid list_relid = InvalidOid;
static Oid signal_relid = InvalidOid;
static Oid lookup_index = InvalidOid;
static uint64 epoch_counter = 1;

PG_FUNCTION_INFO_V1(smart_revoke_tokens);
PG_FUNCTION_INFO_V1(smart_unrevoke);
PG_FUNCTION_INFO_V1(smart_revocation_lookup);
PG_FUNCTION_INFO_V1(smart_revocation_defaults);
PG_FUNCTION_INFO_V1(smart_revocation_changed);

/* No catalog access in a callback. While our relations are not known, any may be ours. */
static void
relcache_callback(Datum arg, Oid relid)
{
	if (relid == InvalidOid || signal_relid == InvalidOid || relid == signal_relid ||
		relid == list_relid)
		epoch_counter++;
	if (relid == InvalidOid || relid == list_relid)
		signal_relid = InvalidOid;
}

void
revocation_init(void)
{
	CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
}

uint64
revocation_epoch(void)
{
	AcceptInvalidationMessages();
	return epoch_counter;
}

/* The relations of the extension; false when there is none, or an older one without the list. */
static bool
find_relations(void)
{
	Oid schema;
	Oid internal;
	Oid list;
	Oid signal;

	if (OidIsValid(signal_relid))
		return true;
	if (!OidIsValid(get_extension_oid("smart_fhir", true)))
		return false;
	schema = get_namespace_oid("smart", true);
	internal = get_namespace_oid("smart_internal", true);
	if (!OidIsValid(schema) || !OidIsValid(internal))
		return false;
	list = get_relname_relid("revocation", schema);
	signal = get_relname_relid("revocation_signal", internal);
	if (!OidIsValid(list) || !OidIsValid(signal))
		return false;
	lookup_index = get_relname_relid("revocation_lookup", schema);
	list_relid = list;
	signal_relid = signal;
	return true;
}

static void
require_relations(void)
{
	if (!find_relations())
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("extension \"%s\" is not installed in this database", "smart_fhir"));
}

static void
raise_invalid(const char *parameter, const char *detail, const char *hint)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid value for parameter \"%s\"", parameter),
			errdetail("%s", detail),
			hint != NULL ? errhint("%s", hint) : 0,
			errhidestmt(true),
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "invalid_parameter"));
}

/* ---- the key by which a row is found ---- */

typedef enum LookupKind
{
	LOOKUP_JTI = 1,
	LOOKUP_GRANT,
	LOOKUP_SUBJECT,
	LOOKUP_CLIENT,
	LOOKUP_ISSUER
} LookupKind;

#define N_LOOKUPS 5

/* Stored in the table, so it is the same on all machines and in all versions: FNV-1a, 64 bits. */
static uint64
lookup_add(uint64 hash, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char) data[i]) * UINT64CONST(0x100000001b3);
	return hash;
}

static int64
lookup_key(LookupKind kind, const char *issuer, const char *value)
{
	char byte = (char) kind;
	uint64 hash = lookup_add(UINT64CONST(0xcbf29ce484222325), &byte, 1);

	hash = lookup_add(hash, issuer, strlen(issuer) + 1);
	if (value != NULL)
		hash = lookup_add(hash, value, strlen(value));
	return (int64) hash;
}

/* By the member that the fewest tokens share. */
static int64
lookup_of_entry(const Revocation *entry)
{
	if (entry->jti != NULL)
		return lookup_key(LOOKUP_JTI, entry->issuer, entry->jti);
	if (entry->grant_id != NULL)
		return lookup_key(LOOKUP_GRANT, entry->issuer, entry->grant_id);
	if (entry->subject != NULL)
		return lookup_key(LOOKUP_SUBJECT, entry->issuer, entry->subject);
	if (entry->client_id != NULL)
		return lookup_key(LOOKUP_CLIENT, entry->issuer, entry->client_id);
	return lookup_key(LOOKUP_ISSUER, entry->issuer, NULL);
}

/* smart_internal.revocation_lookup(issuer, jti, client_id, subject, grant_id) */
Datum
smart_revocation_lookup(PG_FUNCTION_ARGS)
{
	Revocation entry = {0};

#define TEXT_ARG(i) (PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i)))
	entry.issuer = TEXT_ARG(0);
	entry.jti = TEXT_ARG(1);
	entry.client_id = TEXT_ARG(2);
	entry.subject = TEXT_ARG(3);
	entry.grant_id = TEXT_ARG(4);
	if (entry.issuer == NULL)
		PG_RETURN_NULL();
	PG_RETURN_INT64(lookup_of_entry(&entry));
}

/* ---- does an entry meet a token? ---- */

static bool
text_fits(TupleTableSlot *slot, int column, const char *value)
{
	bool isnull;
	Datum datum = slot_getattr(slot, column, &isnull);
	text *wanted;

	if (isnull)
		return true;
	if (value == NULL)
		return false;
	wanted = DatumGetTextPP(datum);
	return VARSIZE_ANY_EXHDR(wanted) == strlen(value) &&
		   memcmp(VARDATA_ANY(wanted), value, strlen(value)) == 0;
}

static bool
entry_meets(TupleTableSlot *slot, const RevocationToken *token)
{
	JwtTimes times;
	bool isnull;
	Datum datum;

	/* the issuer is never NULL */
	if (!text_fits(slot, COL_ISSUER, token->issuer) || !text_fits(slot, COL_JTI, token->jti) ||
		!text_fits(slot, COL_CLIENT_ID, token->client_id) ||
		!text_fits(slot, COL_SUBJECT, token->subject) ||
		!text_fits(slot, COL_GRANT_ID, token->grant_id))
		return false;
	datum = slot_getattr(slot, COL_UNTIL, &isnull);
	if (!isnull && DatumGetTimestampTz(datum) <= GetCurrentTimestamp())
		return false;
	datum = slot_getattr(slot, COL_ISSUED_BEFORE, &isnull);
	if (isnull)
		return true;
	/* a token that does not say when it was issued may be of before */
	if (jwt_times(token->claims, &times) != JOSE_OK || !times.has_iat)
		return true;
	return times.iat < DatumGetTimestampTz(datum);
}

static bool
index_is_usable(Relation index)
{
	return index->rd_index->indisvalid && index->rd_index->indisready;
}

/*
 * With a snapshot of this moment, so that REPEATABLE READ sees it too. The index is scanned
 * directly: ignore_system_indexes, which anyone may set, must not lead elsewhere.
 */
bool
revocation_meets_token(const RevocationToken *token)
{
	int64 keys[N_LOOKUPS];
	int n_keys = 0;
	Relation rel;
	Relation index = NULL;
	Snapshot snapshot;
	TupleTableSlot *slot;
	bool met = false;

	/* a list that cannot be read revokes whatever it might have held */
	if (!find_relations())
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("the revocation list cannot be read"),
				errdetail("Table smart.revocation, or what belongs to it, is not there."),
				errhint("Run ALTER EXTENSION smart_fhir UPDATE, or create the extension again."),
				errhidestmt(true),
				err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
				err_generic_string(PG_DIAG_CONSTRAINT_NAME, "revocation"));
	keys[n_keys++] = lookup_key(LOOKUP_ISSUER, token->issuer, NULL);
	if (token->jti != NULL)
		keys[n_keys++] = lookup_key(LOOKUP_JTI, token->issuer, token->jti);
	if (token->grant_id != NULL)
		keys[n_keys++] = lookup_key(LOOKUP_GRANT, token->issuer, token->grant_id);
	if (token->subject != NULL)
		keys[n_keys++] = lookup_key(LOOKUP_SUBJECT, token->issuer, token->subject);
	if (token->client_id != NULL)
		keys[n_keys++] = lookup_key(LOOKUP_CLIENT, token->issuer, token->client_id);

	rel = table_open(list_relid, AccessShareLock);
	if (RelationGetDescr(rel)->natts < N_COLUMNS)
		elog(ERROR,
			 "table smart.revocation has %d columns, expected %d",
			 RelationGetDescr(rel)->natts,
			 N_COLUMNS);
	if (OidIsValid(lookup_index))
		index = try_index_open(lookup_index, AccessShareLock);
	snapshot = RegisterSnapshot(GetCatalogSnapshot(RelationGetRelid(rel)));
	slot = table_slot_create(rel, NULL);
	if (index != NULL && index_is_usable(index))
	{
		IndexScanDesc scan = compat_index_beginscan(rel, index, snapshot, 1, 0);

		for (int i = 0; i < n_keys && !met; i++)
		{
			ScanKeyData key;

			ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(keys[i]));
			index_rescan(scan, &key, 1, NULL, 0);
			while (!met && index_getnext_slot(scan, ForwardScanDirection, slot))
				met = entry_meets(slot, token);
		}
		index_endscan(scan);
	}
	else
	{
		TableScanDesc scan = compat_table_beginscan(rel, snapshot);

		while (!met && table_scan_getnextslot(scan, ForwardScanDirection, slot))
			met = entry_meets(slot, token);
		table_endscan(scan);
	}
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	if (index != NULL)
		index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	return met;
}

bool
revocation_meets(const Session *session)
{
	RevocationToken token;

	token.claims = (Jsonb *) ((char *) session + session->claims);
	token.issuer = session_text(session, session->issuer);
	token.jti = session_text(session, session->jti);
	token.client_id = session_text(session, session->client_id);
	token.subject = session_text(session, session->subject);
	token.grant_id = session_claim_string(token.claims, "grant_id");
	return revocation_meets_token(&token);
}

/* ---- changes ---- */

/*
 * The last moment at which a token that the entry meets can be valid: tokens of tomorrow too,
 * unless a jti, which no later token has, or the time of issue leaves them out.
 */
static TimestampTz
obsolete_at(const Revocation *entry)
{
	const Issuer *issuer = issuer_lookup(entry->issuer);
	TimestampTz issued; /* the latest iat */

	/* without iat a token's lifetime is not bounded */
	if (issuer == NULL || !issuer_texts_contain(&issuer->required_claims, "iat", 3))
		return DT_NOEND;
	issued = GetCurrentTimestamp() + issuer->leeway_usecs;
	if (entry->jti == NULL || (entry->has_issued_before && entry->issued_before < issued))
	{
		if (!entry->has_issued_before || TIMESTAMP_NOT_FINITE(entry->issued_before))
			return DT_NOEND;
		issued = entry->issued_before;
	}
	if (issued > END_TIMESTAMP - issuer->max_age_usecs - issuer->leeway_usecs)
		return DT_NOEND;
	return issued + issuer->max_age_usecs + issuer->leeway_usecs;
}

/*
 * Entries whose time is over go, a few with each addition. One that another transaction deletes
 * just now is left to it; nobody waits.
 */
static void
remove_obsolete(Relation rel)
{
	Oid index = get_relname_relid("revocation_until", RelationGetNamespace(rel));
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key,
				COL_UNTIL,
				BTLessStrategyNumber,
				F_TIMESTAMPTZ_LT,
				TimestampTzGetDatum(GetCurrentTimestamp()));
	scan = systable_beginscan(rel, index, OidIsValid(index), NULL, 1, &key);
	for (int i = 0; i < OBSOLETE_STEP; i++)
	{
		TM_FailureData failure;

		tuple = systable_getnext(scan);
		if (!HeapTupleIsValid(tuple))
			break;
		(void) compat_table_tuple_delete(
			rel, &tuple->t_self, GetCurrentCommandId(true), InvalidSnapshot, false, &failure);
	}
	systable_endscan(scan);
}

static void
prevent_when_read_only(const char *command)
{
	PreventCommandIfReadOnly(command);
	PreventCommandDuringRecovery(command);
	PreventCommandIfParallelMode(command);
}

void
revocation_add(const Revocation *entry)
{
	Relation rel;
	Oid sequence;
	Datum values[N_COLUMNS];
	bool nulls[N_COLUMNS] = {0};
	HeapTuple tuple;

	require_relations();
	rel = table_open(list_relid, RowExclusiveLock);
	if (RelationGetDescr(rel)->natts != N_COLUMNS)
		elog(ERROR,
			 "table smart.revocation has %d columns, expected %d",
			 RelationGetDescr(rel)->natts,
			 N_COLUMNS);
	sequence = get_relname_relid("revocation_id_seq", RelationGetNamespace(rel));
	remove_obsolete(rel);

#define SET_TEXT(column, text)                                                                     \
	((text) == NULL ? (void) (nulls[(column) -1] = true)                                           \
					: (void) (values[(column) -1] = CStringGetTextDatum(text)))
	values[COL_ID - 1] = Int64GetDatum(nextval_internal(sequence, false));
	SET_TEXT(COL_ISSUER, entry->issuer);
	SET_TEXT(COL_JTI, entry->jti);
	SET_TEXT(COL_CLIENT_ID, entry->client_id);
	SET_TEXT(COL_SUBJECT, entry->subject);
	SET_TEXT(COL_GRANT_ID, entry->grant_id);
	values[COL_ISSUED_BEFORE - 1] = TimestampTzGetDatum(entry->issued_before);
	nulls[COL_ISSUED_BEFORE - 1] = !entry->has_issued_before;
	values[COL_UNTIL - 1] =
		TimestampTzGetDatum(entry->has_until ? entry->until : obsolete_at(entry));
	values[COL_LOOKUP - 1] = Int64GetDatum(lookup_of_entry(entry));
#undef SET_TEXT
	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	CatalogTupleInsert(rel, tuple);
	heap_freetuple(tuple);
	CacheInvalidateRelcacheByRelid(signal_relid);
	table_close(rel, RowExclusiveLock);
	trail_grant(&(TrailGrant){.event = "revoke",
							  .issuer = entry->issuer,
							  .client_id = entry->client_id,
							  .subject = entry->subject,
							  .jti = entry->jti,
							  .grant_id = entry->grant_id});
}

/* A text argument; one without a character would meet no token at all. */
static const char *
text_argument(FunctionCallInfo fcinfo, int arg, const char *name)
{
	char *value;

	if (PG_ARGISNULL(arg))
		return NULL;
	value = text_to_cstring(PG_GETARG_TEXT_PP(arg));
	if (value[0] == '\0')
		raise_invalid(name, "It must not be empty.", NULL);
	return value;
}

Datum
smart_revoke_tokens(PG_FUNCTION_ARGS)
{
	Revocation entry = {0};

	prevent_when_read_only("smart.revoke_tokens()");
	entry.issuer = text_argument(fcinfo, 0, "issuer");
	if (entry.issuer == NULL)
		raise_invalid("issuer", "It must not be null.", NULL);
	if (issuer_lookup(entry.issuer) == NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("issuer is not known"),
				errhint("smart.issuer lists the issuers that are."),
				errhidestmt(true),
				err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
				err_generic_string(PG_DIAG_CONSTRAINT_NAME, "unknown_issuer"));
	entry.jti = text_argument(fcinfo, 1, "jti");
	entry.client_id = text_argument(fcinfo, 2, "client_id");
	entry.subject = text_argument(fcinfo, 3, "subject");
	entry.grant_id = text_argument(fcinfo, 4, "grant_id");
	if (!PG_ARGISNULL(5))
	{
		entry.has_issued_before = true;
		entry.issued_before = PG_GETARG_TIMESTAMPTZ(5);
		if (TIMESTAMP_IS_NOBEGIN(entry.issued_before))
			raise_invalid("issued_before", "No token was issued before it.", NULL);
	}
	if (entry.jti == NULL && entry.client_id == NULL && entry.subject == NULL &&
		entry.grant_id == NULL && !entry.has_issued_before)
		ereport(
			ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("nothing tells which tokens are revoked"),
			errhint("Give at least one of jti, client_id, subject, grant_id and issued_before."),
			errhidestmt(true),
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "invalid_parameter"));
	if (!PG_ARGISNULL(6))
	{
		entry.has_until = true;
		entry.until = PG_GETARG_TIMESTAMPTZ(6);
		if (entry.until <= GetCurrentTimestamp())
			raise_invalid(
				"until",
				"It is past, so that no token would be revoked.",
				"Leave it out, or give the time at which the last of the tokens expires.");
	}
	revocation_add(&entry);
	PG_RETURN_VOID();
}

Datum
smart_unrevoke(PG_FUNCTION_ARGS)
{
	Relation rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	Oid index;
	TM_Result result = TM_Deleted;
	TM_FailureData failure;

	prevent_when_read_only("smart.unrevoke()");
	if (PG_ARGISNULL(0))
		raise_invalid("id", "It must not be null.", NULL);
	require_relations();
	rel = table_open(list_relid, RowExclusiveLock);
	index = get_relname_relid("revocation_pkey", RelationGetNamespace(rel));
	ScanKeyInit(&key, COL_ID, BTEqualStrategyNumber, F_INT8EQ, PG_GETARG_DATUM(0));
	scan = systable_beginscan(rel, index, OidIsValid(index), NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		result = compat_table_tuple_delete(
			rel, &tuple->t_self, GetCurrentCommandId(true), InvalidSnapshot, true, &failure);
	systable_endscan(scan);
	if (result != TM_Ok)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("there is no revocation of this id"),
				errhint("smart.revocation lists them."),
				err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
				err_generic_string(PG_DIAG_CONSTRAINT_NAME, "unknown_revocation"));
	CacheInvalidateRelcacheByRelid(signal_relid);
	table_close(rel, RowExclusiveLock);
	PG_RETURN_VOID();
}

static HeapTuple
trigger_row(FunctionCallInfo fcinfo, TriggerData **trigger)
{
	*trigger = (TriggerData *) fcinfo->context;
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function was not called by trigger manager"));
	return TRIGGER_FIRED_BY_UPDATE((*trigger)->tg_event) ? (*trigger)->tg_newtuple
														 : (*trigger)->tg_trigtuple;
}

/* BEFORE INSERT OR UPDATE: what plain DML leaves out of "until". */
Datum
smart_revocation_defaults(PG_FUNCTION_ARGS)
{
	TriggerData *trigger;
	HeapTuple row = trigger_row(fcinfo, &trigger);
	TupleDesc desc = RelationGetDescr(trigger->tg_relation);
	Revocation entry = {0};
	int column = COL_UNTIL;
	bool isnull = false;
	Datum datum;

	if (desc->natts != N_COLUMNS || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("trigger function belongs to table \"%s\" alone", "smart.revocation"));
	(void) heap_getattr(row, COL_UNTIL, desc, &isnull);
	if (!isnull)
		return PointerGetDatum(row);
	datum = heap_getattr(row, COL_ISSUER, desc, &isnull);
	if (isnull)
		return PointerGetDatum(row); /* the table will refuse it */
	entry.issuer = TextDatumGetCString(datum);
	(void) heap_getattr(row, COL_JTI, desc, &isnull);
	entry.jti = isnull ? NULL : "";
	datum = heap_getattr(row, COL_ISSUED_BEFORE, desc, &isnull);
	entry.has_issued_before = !isnull;
	entry.issued_before = isnull ? 0 : DatumGetTimestampTz(datum);
	datum = TimestampTzGetDatum(obsolete_at(&entry));
	isnull = false;
	return PointerGetDatum(heap_modify_tuple_by_cols(row, desc, 1, &column, &datum, &isnull));
}

/* AFTER each row, and TRUNCATE: tell every backend. */
Datum
smart_revocation_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger;

	(void) trigger_row(fcinfo, &trigger);
	require_relations();
	CacheInvalidateRelcacheByRelid(signal_relid);
	return PointerGetDatum(NULL);
}
