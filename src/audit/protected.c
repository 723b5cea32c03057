/*
 * src/audit/protected.c
 *		Protected tables, remembered by OID until their catalog rows change.
 *
 * What the catalogs say of one is data: it is read as src/policy/stored.h does.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "compat.h"
#include "audit/protected.h"
#include "audit/text.h"
#include "policy/call.h"
#include "policy/stored.h"

/* Tables that were asked about, most of them not protected. */
#define MAX_KNOWN 10000

typedef struct KnownTable
{
	Oid relid;
	ProtectedTable *table; /* NULL: not protected */
} KnownTable;

static HTAB *known = NULL;
static MemoryContext memory = NULL;

void
protected_release(ProtectedTable *table)
{
	if (--table->refs > 0)
		return;
	pfree(table->json);
	pfree(table);
}

static void
forget(KnownTable *entry)
{
	ProtectedTable *table = entry->table;

	(void) hash_search(known, &entry->relid, HASH_REMOVE, NULL);
	if (table != NULL)
		protected_release(table);
}

static void
forget_all(void)
{
	HASH_SEQ_STATUS scan;
	KnownTable *entry;

	hash_seq_init(&scan, known);
	while ((entry = hash_seq_search(&scan)) != NULL)
		forget(entry);
}

static void
on_relation_change(Datum arg, Oid relid)
{
	KnownTable *entry;

	if (known == NULL)
		return;
	if (relid == InvalidOid)
		forget_all();
	else if ((entry = hash_search(known, &relid, HASH_FIND, NULL)) != NULL)
		forget(entry);
}

static void
write_json(ProtectedTable *table, const char *name, const char *type)
{
	char json[2048];
	AuditText text = {json, 0, sizeof(json), false};

	text_member(&text, "name", name);
	text_member(&text, "type", type);
	json[0] = '{';
	table->json = MemoryContextAlloc(memory, text.len);
	memcpy(table->json, json, text.len);
	table->len = text.len;
}

/* Of a table that the catalogs have, or NULL. */
static ProtectedTable *
read_table(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	ProtectedTable *table = NULL;
	FuncExpr *call;
	Const *type;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	form = (Form_pg_class) GETSTRUCT(tuple);
	/* also while its owner has row-level security off */
	call = policy_call_stored(relid);
	if (call != NULL)
	{
		char *schema = get_namespace_name(form->relnamespace);

		table = MemoryContextAllocZero(memory, sizeof(ProtectedTable));
		table->relid = relid;
		table->owner = form->relowner;
		table->refs = 1;
		type = stored_constant(call, POLICY_TYPE, TEXTOID);
		write_json(table,
				   quote_qualified_identifier(schema, NameStr(form->relname)),
				   type == NULL ? NULL : TextDatumGetCString(type->constvalue));
	}
	ReleaseSysCache(tuple);
	return table;
}

static void
make_memory(void)
{
	HASHCTL ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(KnownTable)};

	memory =
		AllocSetContextCreate(TopMemoryContext, "smart_fhir audited tables", ALLOCSET_SMALL_SIZES);
	ctl.hcxt = memory;
	known =
		hash_create("smart_fhir audited tables", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

ProtectedTable *
protected_find(Oid relid)
{
	KnownTable *entry;
	ProtectedTable *table;

	if (relid < FirstNormalObjectId)
		return NULL;
	if (known == NULL)
		make_memory();
	entry = hash_search(known, &relid, HASH_FIND, NULL);
	if (entry == NULL)
	{
		MemoryContext scratch = AllocSetContextCreate(
			CurrentMemoryContext, "smart_fhir audited table", ALLOCSET_SMALL_SIZES);
		MemoryContext old = MemoryContextSwitchTo(scratch);

		if (hash_get_num_entries(known) >= MAX_KNOWN)
			forget_all();
		table = read_table(relid);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(scratch);
		/* a change that came while the catalogs were read is seen at the next statement */
		entry = hash_search(known, &relid, HASH_ENTER, NULL);
		entry->table = table;
	}
	if (entry->table != NULL)
		entry->table->refs++;
	return entry->table;
}

void
protected_init(void)
{
	CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
}
