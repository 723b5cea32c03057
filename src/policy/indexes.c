/*
 * src/policy/indexes.c
 *		Which indexes the policies of a table need, and which of them it has.
 *
 * Compares the stored trees of policies and indexes. Locks no table, evaluates nothing, simplifies
 * nothing (RelationGetIndexExpressions() would run the functions of whoever made the index).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "policy/call.h"
#include "policy/deparse.h"
#include "policy/emptiness.h"
#include "policy/options.h"
#include "policy/stored.h"

PG_FUNCTION_INFO_V1(smart_patients_index);
PG_FUNCTION_INFO_V1(smart_missing_indexes);
PG_FUNCTION_INFO_V1(smart_rows_are_regular);
PG_FUNCTION_INFO_V1(smart_has_irregular_rows);

/* What an index must be, as far as the policies ask. */
typedef struct Wanted
{
	Oid method;
	Node *first;		 /* NULL: any key */
	Node *second;		 /* NULL: any, or none */
	Node *predicate;	 /* NULL: none */
	const char *storage; /* how it is stored, as SQL; or NULL */
} Wanted;

static bool
has_one_key(Jsonb *options)
{
	char *key = policy_option_text(options, "key");

	return key != NULL && strcmp(key, "one") == 0;
}

static Node *
own_function(FuncExpr *call, const char *name, Oid result, List *args)
{
	Oid types[POLICY_N_ARGS];
	Oid function;
	int n = 0;
	ListCell *cell;

	foreach(cell, args)
		types[n++] = exprType(lfirst(cell));
	/* the first argument of row_is_regular() is of any type */
	if (n == POLICY_N_ARGS - 1)
		types[0] = ANYOID;
	function = policy_function_beside(call->funcid, name, n, types);
	if (!OidIsValid(function))
		return NULL;
	return (Node *) makeFuncExpr(
		function, result, args, InvalidOid, DEFAULT_COLLATION_OID, COERCE_EXPLICIT_CALL);
}

static Node *
text_constant(const char *value)
{
	if (value == NULL)
		return (Node *) makeNullConst(TEXTOID, -1, DEFAULT_COLLATION_OID);
	return (Node *) makeConst(
		TEXTOID, -1, DEFAULT_COLLATION_OID, -1, CStringGetTextDatum(value), false, false);
}

static void
want_patients(const StoredPolicies *stored, Wanted *wanted)
{
	memset(wanted, 0, sizeof(*wanted));
	wanted->method = has_one_key(stored->options) ? BTREE_AM_OID : GIN_AM_OID;
	wanted->first = list_nth(stored->call->args, POLICY_PATIENTS);
	wanted->second = stored_order(stored->call);
}

static void
want_irregular(const StoredPolicies *stored, Wanted *wanted)
{
	List *args = list_copy_tail(stored->call->args, POLICY_PATIENTS);
	Node *call;

	args = list_truncate(args, POLICY_N_ARGS - 1);
	if (!policy_option_bool(stored->options, "patients"))
		lfirst(list_head(args)) = text_constant(NULL);
	call = own_function(stored->call, "row_is_regular", BOOLOID, args);
	memset(wanted, 0, sizeof(*wanted));
	wanted->method = BTREE_AM_OID;
	if (call != NULL)
		wanted->predicate = (Node *) makeBoolExpr(NOT_EXPR, list_make1(call), -1);
}

static void
want_followed(const StoredPolicies *stored, const char *path, Wanted *wanted)
{
	List *args = list_make3(list_nth(stored->call->args, POLICY_RESOURCE),
							text_constant(path),
							text_constant(policy_option_text(stored->options, "base_url")));

	memset(wanted, 0, sizeof(*wanted));
	wanted->method = GIN_AM_OID;
	wanted->first = own_function(stored->call, "followed_references", TEXTARRAYOID, args);
	/* a list of pending entries would be gone through for each named record that moves */
	wanted->storage = " WITH (fastupdate = off)";
}

/* A stored tree of a row of pg_index, or NULL. */
static Node *
stored_tree(HeapTuple index, AttrNumber column)
{
	bool isnull;
	Datum value = SysCacheGetAttr(INDEXRELID, index, column, &isnull);

	return isnull ? NULL : stringToNode(TextDatumGetCString(value));
}

/* Is key number n of an index this expression over its table? */
static bool
key_is(HeapTuple tuple, int n, Node *expression)
{
	Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);
	AttrNumber column;
	int before = 0;
	List *expressions;

	if (n >= index->indnkeyatts)
		return false;
	column = index->indkey.values[n];
	if (column != 0)
		return IsA(expression, Var) && ((Var *) expression)->varattno == column;
	for (int i = 0; i < n; i++)
		before += index->indkey.values[i] == 0;
	expressions = (List *) stored_tree(tuple, Anum_pg_index_indexprs);
	return before < list_length(expressions) && equal(list_nth(expressions, before), expression);
}

static bool
serves(HeapTuple tuple, const Wanted *wanted)
{
	Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);
	HeapTuple class;
	Oid method;

	if (!index->indisvalid || !index->indisready || !index->indislive)
		return false;
	class = SearchSysCache1(RELOID, ObjectIdGetDatum(index->indexrelid));
	if (!HeapTupleIsValid(class))
		return false;
	method = ((Form_pg_class) GETSTRUCT(class))->relam;
	ReleaseSysCache(class);
	return method == wanted->method &&
		   equal(stored_tree(tuple, Anum_pg_index_indpred), wanted->predicate) &&
		   (wanted->first == NULL || key_is(tuple, 0, wanted->first)) &&
		   (wanted->second == NULL || key_is(tuple, 1, wanted->second));
}

/* The relation's first index that serves, or InvalidOid. */
static Oid
find_index(Oid relid, const Wanted *wanted)
{
	Relation catalog;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	Oid found = InvalidOid;

	if (wanted->first == NULL && wanted->predicate == NULL)
		return InvalidOid;
	catalog = table_open(IndexRelationId, AccessShareLock);
	ScanKeyInit(
		&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, IndexIndrelidIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid index = ((Form_pg_index) GETSTRUCT(tuple))->indexrelid;

		if (serves(tuple, wanted) && (!OidIsValid(found) || index < found))
			found = index;
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return found;
}

static bool
is_protected(Oid relid, StoredPolicies *stored)
{
	stored_policies(relid, stored);
	return stored->call != NULL && stored->options != NULL;
}

/* smart_internal.patients_index(relation oid) -> regclass: what policies look keys up in */
Datum
smart_patients_index(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	StoredPolicies stored;
	Wanted wanted;
	Oid found = InvalidOid;

	if (is_protected(relid, &stored))
	{
		want_patients(&stored, &wanted);
		found = find_index(relid, &wanted);
	}
	if (!OidIsValid(found))
		PG_RETURN_NULL();
	PG_RETURN_OID(found);
}

/* Is there a patient to look up? Not in a table of a type that no compartment has. */
static bool
has_patients(const StoredPolicies *stored)
{
	Const *type = stored_constant(stored->call, POLICY_TYPE, TEXTOID);
	char *version_name = policy_option_text(stored->options, "fhir_version");
	FhirVersion version;
	char *name;
	int number;

	if (type == NULL || policy_option_bool(stored->options, "patients"))
		return true;
	if (version_name == NULL || !fhir_version_parse(version_name, &version))
		return false;
	name = TextDatumGetCString(type->constvalue);
	number = fhir_type_lookup(version, name, strlen(name));
	return number >= 0 && fhir_type_in_compartment(version, number);
}

/* "USING method (keys) WHERE predicate"; NULL when an expression cannot be written. */
static char *
definition(Oid relid, const Wanted *wanted)
{
	char *first =
		wanted->first == NULL ? pstrdup("1") : deparse_over_relation(relid, wanted->first);
	StringInfoData text;

	if (first == NULL)
		return NULL;
	initStringInfo(&text);
	appendStringInfo(
		&text, "USING %s ((%s)", wanted->method == GIN_AM_OID ? "gin" : "btree", first);
	if (wanted->second != NULL)
	{
		char *second = deparse_over_relation(relid, wanted->second);

		if (second == NULL)
			return NULL;
		appendStringInfo(&text, ", (%s)", second);
	}
	appendStringInfoChar(&text, ')');
	if (wanted->storage != NULL)
		appendStringInfoString(&text, wanted->storage);
	if (wanted->predicate != NULL)
	{
		char *predicate = deparse_over_relation(relid, wanted->predicate);

		if (predicate == NULL)
			return NULL;
		appendStringInfo(&text, " WHERE %s", predicate);
	}
	return text.data;
}

static void
put_when_missing(ReturnSetInfo *result, Oid relid, const char *suffix, const Wanted *wanted)
{
	Datum values[2];
	bool nulls[2] = {false, false};
	char *text;

	if ((wanted->first == NULL && wanted->predicate == NULL) ||
		OidIsValid(find_index(relid, wanted)))
		return;
	text = definition(relid, wanted);
	if (text == NULL)
		return;
	values[0] = CStringGetTextDatum(suffix);
	values[1] = CStringGetTextDatum(text);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* smart_internal.missing_indexes(relation oid, OUT suffix text, OUT definition text) -> setof record */
Datum
smart_missing_indexes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid relid = PG_GETARG_OID(0);
	StoredPolicies stored;
	Wanted wanted;
	char *path;

	InitMaterializedSRF(fcinfo, 0);
	if (!is_protected(relid, &stored))
		return (Datum) 0;
	if (has_patients(&stored))
	{
		want_patients(&stored, &wanted);
		put_when_missing(result, relid, "patients", &wanted);
	}
	/* row_policy() itself is STABLE: what it is given must be able to stand in an index */
	if (contain_mutable_functions((Node *) stored.call->args))
		return (Datum) 0;
	want_irregular(&stored, &wanted);
	put_when_missing(result, relid, "irregular", &wanted);
	path = policy_option_text(stored.options, "follow");
	if (path != NULL)
	{
		want_followed(&stored, path, &wanted);
		put_when_missing(result, relid, "followed", &wanted);
	}
	return (Datum) 0;
}

/* ---- irregular rows ---- */

typedef enum Emptiness
{
	INDEX_UNKNOWN, /* there is none, or somebody has locked it */
	INDEX_EMPTY,
	INDEX_FILLED
} Emptiness;

static Emptiness
look_at_index(Oid oid)
{
	Oid table = IndexGetRelation(oid, true);
	Relation index;
	Emptiness result = INDEX_UNKNOWN;

	if (!OidIsValid(table) || !ConditionalLockRelationOid(table, AccessShareLock))
		return INDEX_UNKNOWN;
	if (ConditionalLockRelationOid(oid, AccessShareLock))
	{
		index = RelationIdGetRelation(oid);
		if (RelationIsValid(index))
		{
			if (index->rd_rel->relkind == RELKIND_INDEX && index->rd_index->indisvalid &&
				index->rd_rel->relam == BTREE_AM_OID && !RecoveryInProgress())
				result = index_is_empty(index) ? INDEX_EMPTY : INDEX_FILLED;
			RelationClose(index);
		}
		UnlockRelationOid(oid, AccessShareLock);
	}
	UnlockRelationOid(table, AccessShareLock);
	return result;
}

/* What the indexes of irregular rows of a relation and its partitions say. */
static Emptiness
irregular_rows(Oid relid)
{
	StoredPolicies stored;
	Wanted wanted;
	Oid index;
	bool unknown = false;
	ListCell *cell;

	if (!is_protected(relid, &stored))
		return INDEX_UNKNOWN;
	want_irregular(&stored, &wanted);
	index = find_index(relid, &wanted);
	if (!OidIsValid(index))
		return INDEX_UNKNOWN;
	foreach(cell, find_all_inheritors(relid, NoLock, NULL))
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_FOREIGN_TABLE)
			unknown = true;
	if (get_rel_relkind(relid) == RELKIND_RELATION && has_subclass(relid))
		unknown = true;
	foreach(cell, find_all_inheritors(index, NoLock, NULL))
	{
		Emptiness one;

		if (get_rel_relkind(lfirst_oid(cell)) != RELKIND_INDEX)
			continue;
		one = look_at_index(lfirst_oid(cell));
		if (one == INDEX_FILLED)
			return INDEX_FILLED;
		unknown = unknown || one == INDEX_UNKNOWN;
	}
	return unknown ? INDEX_UNKNOWN : INDEX_EMPTY;
}

Datum
smart_rows_are_regular(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(irregular_rows(PG_GETARG_OID(0)) == INDEX_EMPTY);
}

/* smart_internal.has_irregular_rows(relation oid) -> boolean: or had some until REINDEX */
Datum
smart_has_irregular_rows(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(irregular_rows(PG_GETARG_OID(0)) == INDEX_FILLED);
}
