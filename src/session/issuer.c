/*
 * src/session/issuer.c
 *		The cache over smart.issuer.
 *
 * A trigger on the table invalidates the relcache entry of the table itself; every
 * backend, replicas too, hears of it with its next invalidation messages. The callback only
 * sets a flag. Entries are loaded one by one at first use, each in a context of its own, so
 * a failure half way leaves none. Knows nothing of tokens, sessions or scopes.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "session/issuer.h"

/* Columns of smart.issuer, in the order of sql/40_issuer.sql. */
enum
{
	COL_ISSUER = 1,
	COL_JWKS,
	COL_AUDIENCE,
	COL_PRESET,
	COL_ALGORITHMS,
	COL_LEEWAY,
	COL_MAX_TOKEN_AGE,
	COL_TOKEN_TYPES,
	COL_REQUIRED_CLAIMS,
	COL_CLIENT_IDS,
	COL_BASE_URLS,
	COL_CLAIM_MAP,
	COL_MAX_PATIENTS,
	COL_PATIENT_FROM_FHIR_USER,
	COL_PATIENT_ALIASES,
	COL_USER_PATIENTS,
	COL_USER_SEES_ALL,
	COL_STAFF_TYPES,
	COL_PATIENT_REFERENCES,
	COL_LEVELS,
	COL_JWKS_URI,
	COL_DISCOVER,
	COL_REFUSE_AFTER,
	N_COLUMNS = COL_REFUSE_AFTER
};

#define ISSUER_NAME_MAX 512

typedef struct IssuerEntry
{
	char name[ISSUER_NAME_MAX]; /* hash key */
	MemoryContext context;
	Issuer *issuer; /* NULL: known not to exist */
} IssuerEntry;

static HTAB *issuer_cache = NULL;
static MemoryContext issuer_context = NULL;
static List *issuer_graveyard = NIL; /* contexts to free once nobody holds */
static int issuer_holds = 0;
static bool issuer_stale = true;
static uint64 issuer_epoch_counter = 1;
static Oid issuer_relid = InvalidOid;

PG_FUNCTION_INFO_V1(smart_issuer_changed);

/*
 * A callback may do no catalog access. InvalidOid means "everything"; while our own OID is
 * unknown, any relation may be ours.
 */
static void
issuer_relcache_callback(Datum arg, Oid relid)
{
	if (relid == InvalidOid || issuer_relid == InvalidOid || relid == issuer_relid)
	{
		issuer_stale = true;
		issuer_epoch_counter++;
	}
}

void
issuer_init(void)
{
	CacheRegisterRelcacheCallback(issuer_relcache_callback, (Datum) 0);
}

/* Trigger of smart.issuer: tell every backend. */
Datum
smart_issuer_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" was not called by trigger manager", "issuer_changed"));
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}

/* The table, found through the extension and not by a name that anyone may reuse. */
static Oid
issuer_table(void)
{
	Oid extension = get_extension_oid("smart_fhir", true);
	Oid schema;

	if (!OidIsValid(extension))
		return InvalidOid;
	schema = get_namespace_oid("smart", true);
	if (!OidIsValid(schema))
		return InvalidOid;
	return get_relname_relid("issuer", schema);
}

static void
issuer_bury(void)
{
	ListCell *cell;

	foreach(cell, issuer_graveyard)
		MemoryContextDelete(lfirst(cell));
	list_free(issuer_graveyard);
	issuer_graveyard = NIL;
}

static void
issuer_cache_reset(void)
{
	HASH_SEQ_STATUS scan;
	IssuerEntry *entry;

	if (issuer_cache != NULL)
	{
		hash_seq_init(&scan, issuer_cache);
		while ((entry = hash_seq_search(&scan)) != NULL)
		{
			if (entry->context != NULL)
			{
				MemoryContext old = MemoryContextSwitchTo(issuer_context);

				issuer_graveyard = lappend(issuer_graveyard, entry->context);
				MemoryContextSwitchTo(old);
			}
			hash_search(issuer_cache, entry->name, HASH_REMOVE, NULL);
		}
	}
	if (issuer_holds == 0)
		issuer_bury();
}

void
issuer_hold(void)
{
	issuer_holds++;
}

void
issuer_release(void)
{
	if (--issuer_holds == 0)
		issuer_bury();
}

uint64
issuer_epoch(void)
{
	AcceptInvalidationMessages();
	return issuer_epoch_counter;
}

bool
issuer_texts_contain(const IssuerTexts *texts, const char *value, size_t len)
{
	for (int i = 0; i < texts->n; i++)
		if (strlen(texts->values[i]) == len && memcmp(texts->values[i], value, len) == 0)
			return true;
	return false;
}

static IssuerTexts
texts_from_datum(Datum datum, bool isnull)
{
	IssuerTexts texts = {isnull, 0, NULL};
	Datum *elements;
	bool *nulls;
	int n;

	if (isnull)
		return texts;
	deconstruct_array(
		DatumGetArrayTypeP(datum), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	texts.values = palloc0(sizeof(char *) * Max(n, 1));
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			texts.values[texts.n++] = TextDatumGetCString(elements[i]);
	return texts;
}

static IssuerTexts
texts_default(int n, const char *const *values)
{
	IssuerTexts texts = {false, n, palloc(sizeof(char *) * Max(n, 1))};

	for (int i = 0; i < n; i++)
		texts.values[i] = pstrdup(values[i]);
	return texts;
}

/* Microseconds of an interval; one with months is refused by the table's constraints. */
static int64
interval_usecs(Datum datum, bool isnull, int64 default_secs)
{
	Interval *interval;

	if (isnull)
		return default_secs * USECS_PER_SEC;
	interval = DatumGetIntervalP(datum);
	return interval->time + interval->day * USECS_PER_DAY;
}

void
issuer_complete(Issuer *issuer, IssuerTexts algorithms, IssuerTexts levels, Jsonb *jwks)
{
	static const char *const default_types[] = {"at+jwt", "JWT"};
	static const char *const default_claims[] = {"sub", "client_id", "iat", "jti"};
	static const char *const default_staff[] = {"Practitioner", "PractitionerRole"};
	static const char *const level_names[] = {"patient", "user", "system"};
	const char *error;

	issuer->algorithms = algorithms.null ? JOSE_ASYMMETRIC : 0;
	for (int i = 0; i < algorithms.n; i++)
		issuer->algorithms |=
			jose_algorithm_by_name(algorithms.values[i], strlen(algorithms.values[i]));
	issuer->levels = levels.null ? ISSUER_ALL_LEVELS : 0;
	for (int i = 0; i < levels.n; i++)
		for (int level = 0; level < (int) lengthof(level_names); level++)
			if (strcmp(levels.values[i], level_names[level]) == 0)
				issuer->levels |= 1 << level;
	issuer->leeway_usecs =
		Min(Max(issuer->leeway_usecs, 0), ISSUER_MAX_LEEWAY_SECS * USECS_PER_SEC);
	if (issuer->token_types.null)
		issuer->token_types = texts_default(lengthof(default_types), default_types);
	if (issuer->required_claims.null)
		issuer->required_claims = texts_default(lengthof(default_claims), default_claims);
	if (issuer->staff_types.null)
		issuer->staff_types = texts_default(lengthof(default_staff), default_staff);
	/* A shared secret is a key only where HS* was listed on purpose (JK-8). */
	if (jwks != NULL)
		issuer->keys =
			jose_keyset_parse(jwks, (issuer->algorithms & ~JOSE_ASYMMETRIC) == 0, &error);
}

/* Build an Issuer in CurrentMemoryContext. */
static Issuer *
issuer_from_tuple(HeapTuple tuple, TupleDesc desc)
{
	Datum *values = palloc(sizeof(Datum) * desc->natts);
	bool *nulls = palloc(sizeof(bool) * desc->natts);
	Issuer *issuer = palloc0(sizeof(Issuer));
	if (desc->natts < N_COLUMNS)
		elog(ERROR, "table smart.issuer has %d columns, expected %d", desc->natts, N_COLUMNS);
	heap_deform_tuple(tuple, desc, values, nulls);
#define VALUE(col) values[(col) -1], nulls[(col) -1]
#define TEXT_OR_NULL(col) (nulls[(col) -1] ? NULL : TextDatumGetCString(values[(col) -1]))

	issuer->issuer = TextDatumGetCString(values[COL_ISSUER - 1]);
	issuer->preset = TEXT_OR_NULL(COL_PRESET);
	issuer->audience = texts_from_datum(VALUE(COL_AUDIENCE));
	issuer->leeway_usecs = interval_usecs(VALUE(COL_LEEWAY), ISSUER_DEFAULT_LEEWAY_SECS);
	issuer->max_age_usecs = interval_usecs(VALUE(COL_MAX_TOKEN_AGE), ISSUER_DEFAULT_MAX_AGE_SECS);
	issuer->token_types = texts_from_datum(VALUE(COL_TOKEN_TYPES));
	issuer->required_claims = texts_from_datum(VALUE(COL_REQUIRED_CLAIMS));
	issuer->client_ids = texts_from_datum(VALUE(COL_CLIENT_IDS));
	issuer->base_urls = texts_from_datum(VALUE(COL_BASE_URLS));
	if (!nulls[COL_CLAIM_MAP - 1])
		issuer->claim_map = DatumGetJsonbPCopy(values[COL_CLAIM_MAP - 1]);
	issuer->max_patients =
		nulls[COL_MAX_PATIENTS - 1] ? 1 : DatumGetInt32(values[COL_MAX_PATIENTS - 1]);
	issuer->patient_from_fhir_user = !nulls[COL_PATIENT_FROM_FHIR_USER - 1] &&
									 DatumGetBool(values[COL_PATIENT_FROM_FHIR_USER - 1]);
	issuer->patient_aliases = TEXT_OR_NULL(COL_PATIENT_ALIASES);
	issuer->user_patients = TEXT_OR_NULL(COL_USER_PATIENTS);
	issuer->user_sees_all =
		!nulls[COL_USER_SEES_ALL - 1] && DatumGetBool(values[COL_USER_SEES_ALL - 1]);
	issuer->staff_types = texts_from_datum(VALUE(COL_STAFF_TYPES));
	issuer->patient_references =
		!nulls[COL_PATIENT_REFERENCES - 1] && DatumGetBool(values[COL_PATIENT_REFERENCES - 1]);
	issuer->fetched = !nulls[COL_JWKS_URI - 1] ||
					  (!nulls[COL_DISCOVER - 1] && DatumGetBool(values[COL_DISCOVER - 1]));
	issuer->refuse_after =
		nulls[COL_REFUSE_AFTER - 1] ? DT_NOEND : DatumGetTimestampTz(values[COL_REFUSE_AFTER - 1]);
	issuer_complete(issuer,
					texts_from_datum(VALUE(COL_ALGORITHMS)),
					texts_from_datum(VALUE(COL_LEVELS)),
					nulls[COL_JWKS - 1] ? NULL : DatumGetJsonbPCopy(values[COL_JWKS - 1]));
#undef VALUE
#undef TEXT_OR_NULL
	return issuer;
}

/* Read one row. A catalog scan takes a new snapshot, so REPEATABLE READ sees it too. */
static Issuer *
issuer_load(const char *name)
{
	Relation rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	Issuer *issuer = NULL;
	Oid index;

	issuer_relid = issuer_table();
	if (!OidIsValid(issuer_relid))
		return NULL;
	rel = table_open(issuer_relid, AccessShareLock);
	index = get_relname_relid("issuer_pkey", RelationGetNamespace(rel));
	ScanKeyEntryInitialize(&key,
						   0,
						   COL_ISSUER,
						   BTEqualStrategyNumber,
						   InvalidOid,
						   C_COLLATION_OID,
						   F_TEXTEQ,
						   CStringGetTextDatum(name));
	scan = systable_beginscan(rel, index, OidIsValid(index), NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		issuer = issuer_from_tuple(tuple, RelationGetDescr(rel));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return issuer;
}

const Issuer *
issuer_lookup(const char *name)
{
	IssuerEntry *entry;
	char key[ISSUER_NAME_MAX];
	bool found;

	if (strlen(name) >= ISSUER_NAME_MAX)
		return NULL;
	AcceptInvalidationMessages();
	if (issuer_cache == NULL)
	{
		HASHCTL ctl = {0};

		issuer_context =
			AllocSetContextCreate(TopMemoryContext, "smart_fhir issuers", ALLOCSET_SMALL_SIZES);
		ctl.keysize = ISSUER_NAME_MAX;
		ctl.entrysize = sizeof(IssuerEntry);
		ctl.hcxt = issuer_context;
		issuer_cache =
			hash_create("smart_fhir issuers", 16, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	if (issuer_stale || hash_get_num_entries(issuer_cache) >= ISSUER_CACHE_SIZE)
	{
		issuer_cache_reset();
		issuer_stale = false;
	}
	strlcpy(key, name, sizeof(key));
	entry = hash_search(issuer_cache, key, HASH_FIND, NULL);
	if (entry == NULL)
	{
		MemoryContext context =
			AllocSetContextCreate(CurrentMemoryContext, "smart_fhir issuer", ALLOCSET_SMALL_SIZES);
		MemoryContext old = MemoryContextSwitchTo(context);
		Issuer *issuer = issuer_load(key);

		MemoryContextSwitchTo(old);

		/*
		 * Unknown names are not remembered: they come from unverified tokens, and an attacker
		 * could fill the cache with them.
		 */
		if (issuer == NULL)
		{
			MemoryContextDelete(context);
			return NULL;
		}
		/* A change that came in while we read makes the next lookup read again. */
		entry = hash_search(issuer_cache, key, HASH_ENTER, &found);
		MemoryContextSetParent(context, issuer_context);
		entry->context = context;
		entry->issuer = issuer;
	}
	return entry->issuer;
}
