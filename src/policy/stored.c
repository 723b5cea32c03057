/*
 * src/policy/stored.c
 *		The policies of a table, as the catalogs hold them. See stored.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/syscache.h"

#include "compat.h"
#include "policy/call.h"
#include "policy/stored.h"

const OwnPolicy own_policies[N_OWN_POLICIES] = {
	{"smart_select", ACL_SELECT_CHR, "SELECT", NULL},
	{"smart_insert", ACL_INSERT_CHR, NULL, "INSERT CHECK"},
	{"smart_update", ACL_UPDATE_CHR, "UPDATE", "UPDATE CHECK"},
	{"smart_delete", ACL_DELETE_CHR, "DELETE", NULL},
};

/* One row of pg_policy that has a name of ours. */
typedef struct PolicyRow
{
	bool found;
	bool is_plain; /* permissive, for PUBLIC, of the command that its name says */
	bool has_qual;
	bool has_check;
	FuncExpr *qual; /* NULL also when it is another expression */
	FuncExpr *check;
} PolicyRow;

static FuncExpr *
read_call(HeapTuple tuple, int column, TupleDesc desc, bool *given)
{
	bool isnull;
	Datum value = heap_getattr(tuple, column, desc, &isnull);

	*given = !isnull;
	return isnull ? NULL : policy_as_call(stringToNode(TextDatumGetCString(value)));
}

static bool
is_for_public(HeapTuple tuple, TupleDesc desc)
{
	bool isnull;
	ArrayType *roles =
		DatumGetArrayTypePCopy(heap_getattr(tuple, Anum_pg_policy_polroles, desc, &isnull));
	Datum *oids;
	int n;

	deconstruct_array(roles, OIDOID, sizeof(Oid), true, TYPALIGN_INT, &oids, NULL, &n);
	return n == 1 && DatumGetObjectId(oids[0]) == ACL_ID_PUBLIC;
}

static void
read_rows(Oid relid, PolicyRow rows[N_OWN_POLICIES])
{
	Relation catalog = table_open(PolicyRelationId, AccessShareLock);
	TupleDesc desc = RelationGetDescr(catalog);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	memset(rows, 0, sizeof(PolicyRow) * N_OWN_POLICIES);
	ScanKeyInit(
		&key, Anum_pg_policy_polrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, PolicyPolrelidPolnameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_policy form = (Form_pg_policy) GETSTRUCT(tuple);

		for (int i = 0; i < N_OWN_POLICIES; i++)
		{
			if (strcmp(NameStr(form->polname), own_policies[i].name) != 0)
				continue;
			rows[i].found = true;
			rows[i].is_plain = form->polpermissive && form->polcmd == own_policies[i].command &&
							   is_for_public(tuple, desc);
			rows[i].qual = read_call(tuple, Anum_pg_policy_polqual, desc, &rows[i].has_qual);
			rows[i].check = read_call(tuple, Anum_pg_policy_polwithcheck, desc, &rows[i].has_check);
		}
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
}

Const *
stored_constant(FuncExpr *call, int arg, Oid type)
{
	Const *value = list_nth(call->args, arg);

	return IsA(value, Const) && value->consttype == type && !value->constisnull ? value : NULL;
}

Node *
stored_order(FuncExpr *call)
{
	return list_length(call->args) > POLICY_ORDER ? list_nth(call->args, POLICY_ORDER) : NULL;
}

/* Is this the expression that belongs there: the call, with this command? */
static bool
fits(bool given, FuncExpr *call, const char *command, FuncExpr *as)
{
	Const *name;

	if (command == NULL || !given)
		return command == NULL && !given;
	if (call == NULL || call->funcid != as->funcid ||
		list_length(call->args) != list_length(as->args))
		return false;
	name = stored_constant(call, POLICY_COMMAND, TEXTOID);
	if (name == NULL || strcmp(TextDatumGetCString(name->constvalue), command) != 0)
		return false;
	for (int i = POLICY_COMMAND + 1; i < list_length(call->args); i++)
		if (!equal(list_nth(call->args, i), list_nth(as->args, i)))
			return false;
	return true;
}

static bool
is_own(const PolicyRow *row, int number, FuncExpr *call)
{
	const OwnPolicy *own = &own_policies[number];

	return row->found && row->is_plain && fits(row->has_qual, row->qual, own->qual, call) &&
		   fits(row->has_check, row->check, own->check, call);
}

void
stored_policies(Oid relid, StoredPolicies *stored)
{
	PolicyRow rows[N_OWN_POLICIES];
	Const *options;

	memset(stored, 0, sizeof(*stored));
	read_rows(relid, rows);
	for (int i = 0; i < N_OWN_POLICIES && stored->call == NULL; i++)
		stored->call = rows[i].qual != NULL ? rows[i].qual : rows[i].check;
	if (stored->call == NULL)
		return;
	options = stored_constant(stored->call, POLICY_OPTIONS, JSONBOID);
	if (options != NULL && JB_ROOT_IS_OBJECT(DatumGetJsonbP(options->constvalue)))
		stored->options = DatumGetJsonbP(options->constvalue);
	for (int i = 0; i < N_OWN_POLICIES; i++)
		stored->own[i] = is_own(&rows[i], i, stored->call);
}

bool
stored_is_enabled(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_class) GETSTRUCT(tuple))->relrowsecurity;
	ReleaseSysCache(tuple);
	return result;
}

FuncExpr *
policy_call_stored(Oid relid)
{
	StoredPolicies stored;

	stored_policies(relid, &stored);
	return stored.call;
}
