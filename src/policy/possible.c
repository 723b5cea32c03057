/*
 * src/policy/possible.c
 *		What could be allowed on a type. See possible.h.
 *
 * Tables are not opened: their policies are read from the catalog as data, without waiting for a
 * lock and without evaluating anything, since anybody may put such policies on a table of his own.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "access/settings.h"
#include "policy/call.h"
#include "policy/options.h"
#include "policy/possible.h"
#include "policy/stored.h"

/* The tables that have a policy of our name. */
static List *
tables_with_policies(void)
{
	Relation catalog = table_open(PolicyRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	List *tables = NIL;
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_policy policy = (Form_pg_policy) GETSTRUCT(tuple);

		if (policy->polcmd == ACL_SELECT_CHR &&
			strcmp(NameStr(policy->polname), "smart_select") == 0)
			tables = lappend_oid(tables, policy->polrelid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return tables;
}

/* A temporary table is a client's own, and outlives it in a pooled connection: it says nothing. */
static bool
counts(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool result = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_class relation = (Form_pg_class) GETSTRUCT(tuple);

		result = relation->relrowsecurity && relation->relpersistence != RELPERSISTENCE_TEMP;
		ReleaseSysCache(tuple);
	}
	return result;
}

static bool
is_possible_in(const Session *session, Oid relid, const char *type, int letter)
{
	FuncExpr *call = counts(relid) ? policy_call_stored(relid) : NULL;
	AccessTable table;
	ScopeLevel level;
	Const *options;
	Const *name;

	if (call == NULL)
		return false;
	options = list_nth(call->args, POLICY_OPTIONS);
	name = list_nth(call->args, POLICY_TYPE);
	memset(&table, 0, sizeof(table));
	if (!IsA(options, Const) || options->constisnull ||
		!policy_options_read(DatumGetJsonbP(options->constvalue), &table))
		return false;
	/* what is no constant tells each row's type */
	if (IsA(name, Const) &&
		(name->constisnull || strcmp(TextDatumGetCString(name->constvalue), type) != 0))
		return false;
	return access_type_reason(session,
							  &table,
							  fhir_type_lookup(table.version, type, strlen(type)),
							  letter,
							  &level) == ACCESS_ALLOWED;
}

static bool
is_possible_in_any(const Session *session, const char *type, int letter)
{
	MemoryContext context = AllocSetContextCreate(
		CurrentMemoryContext, "smart_fhir protected tables", ALLOCSET_SMALL_SIZES);
	List *tables = tables_with_policies();
	bool possible = false;
	ListCell *cell;

	foreach(cell, tables)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		possible = is_possible_in(session, lfirst_oid(cell), type, letter);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
		if (possible)
			break;
	}
	MemoryContextDelete(context);
	list_free(tables);
	return possible;
}

bool
policy_is_possible(const Session *session, const char *type, int letter, AccessReason *reason,
				   ScopeLevel *level)
{
	AccessTable table;
	bool known = false;
	bool a_table_may = false;

	memset(&table, 0, sizeof(table));
	table.reading = access_default_reading();
	table.shared = SHARED_DEFAULT;
	*reason = ACCESS_NOT_A_RESOURCE;
	*level = SCOPE_LEVEL_PATIENT;
	for (int version = 0; version < FHIR_VERSIONS; version++)
	{
		int index = fhir_type_lookup(version, type, strlen(type));
		AccessReason one;
		ScopeLevel at;

		if (index < 0)
			continue;
		table.version = version;
		one = access_type_reason(session, &table, index, letter, &at);
		/* the first version that knows the type is the one without a table; a table may be of any,
		 * and have been told that its rows are shared, or are not, or have keys of their own */
		a_table_may = a_table_may || one == ACCESS_ALLOWED || one >= ACCESS_OUTSIDE;
		if (known)
			continue;
		if (one == ACCESS_ALLOWED)
			return true;
		known = true;
		*reason = one;
		*level = at;
	}
	return a_table_may && is_possible_in_any(session, type, letter);
}
