/*
 * src/policy/deparse.c
 *		Expressions of other roles' tables as SQL. See deparse.h.
 *
 * PostgreSQL's own pg_get_expr() opens the relation for the names of its columns, and so waits for
 * LOCK TABLE. Here the names are read from the catalog, and handed to ruleutils.c as those of a
 * table-like thing that has no relation. What would make it open another one (sub-selects, fields of
 * composite types) is not written at all.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/transam.h"
#include "catalog/heap.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "compat.h"
#include "policy/deparse.h"

int
fix_settings(void)
{
	/* literals are read as SQL says, names are qualified, dates and numbers have one form */
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"standard_conforming_strings", "on"},
		{"quote_all_identifiers", "off"},
		{"array_nulls", "on"},
		{"transform_null_equals", "off"},
		{"DateStyle", "ISO, YMD"},
		{"IntervalStyle", "postgres"},
		{"TimeZone", "UTC"},
		{"bytea_output", "hex"},
		{"extra_float_digits", "1"},
		{"lc_monetary", "C"},
		{"xmlbinary", "base64"},
		{"xmloption", "content"},
		/* a query of the owner's sees what the policies show; an index shows all that it has */
		{"row_security", "on"},
		{"gin_fuzzy_search_limit", "0"},
	};
	int level = NewGUCNestLevel();

	for (size_t i = 0; i < lengthof(settings); i++)
		if (strcmp(GetConfigOption(settings[i][0], false, false), settings[i][1]) != 0)
			(void) set_config_option(settings[i][0],
									 settings[i][1],
									 PGC_USERSET,
									 PGC_S_SESSION,
									 GUC_ACTION_SAVE,
									 true,
									 0,
									 false);
	return level;
}

/* Has the type an output function that reads nothing but its value and the syscaches? */
static bool
type_is_plain(Oid type)
{
	Oid element = get_base_element_type(type);
	char kind = get_typtype(OidIsValid(element) ? element : getBaseType(type));

	return type == UNKNOWNOID || kind == TYPTYPE_BASE || kind == TYPTYPE_ENUM ||
		   ((kind == TYPTYPE_RANGE || kind == TYPTYPE_MULTIRANGE) && type < FirstNormalObjectId);
}

/* Would ruleutils.c open a relation for this, or is it no expression over one relation? */
static bool
is_not_plain(Node *node, void *context)
{
	AttrNumber n_columns = *(AttrNumber *) context;

	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Var:
		{
			Var *var = (Var *) node;

			return var->varno != 1 || var->varlevelsup != 0 || var->varattno > n_columns ||
				   var->varattno <= FirstLowInvalidHeapAttributeNumber;
		}
		case T_Const:
		{
			Const *value = (Const *) node;

			return !value->constisnull && !type_is_plain(value->consttype);
		}
		case T_FieldSelect:
		case T_FieldStore:
		case T_RowExpr:
		case T_ConvertRowtypeExpr:
		case T_SubLink:
		case T_SubPlan:
		case T_AlternativeSubPlan:
		case T_Query:
		case T_Param:
			return true;
		default:
			return expression_tree_walker(node, is_not_plain, context);
	}
}

/* System columns become columns behind the last one: a thing without relation has none. */
static bool
move_system_columns(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var *var = (Var *) node;

		if (var->varattno < 0)
			var->varattno = *(AttrNumber *) context - var->varattno;
		/* names are those of the number */
		var->varnosyn = 0;
		var->varattnosyn = 0;
		return false;
	}
	return expression_tree_walker(node, move_system_columns, context);
}

/* Names by number, "" for a dropped column, then those of the system columns. */
static List *
column_names(Oid relid, AttrNumber n_columns)
{
	List *names = NIL;

	for (AttrNumber i = 1; i <= n_columns; i++)
	{
		HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(i));
		const char *name = "";

		if (HeapTupleIsValid(tuple))
		{
			if (!((Form_pg_attribute) GETSTRUCT(tuple))->attisdropped)
				name = pstrdup(NameStr(((Form_pg_attribute) GETSTRUCT(tuple))->attname));
			ReleaseSysCache(tuple);
		}
		names = lappend(names, makeString(unconstify(char *, name)));
	}
	for (AttrNumber i = -1; i > FirstLowInvalidHeapAttributeNumber; i--)
		names = lappend(names, makeString(pstrdup(NameStr(SystemAttributeDefinition(i)->attname))));
	return names;
}

char *
deparse_over_relation(Oid relid, Node *expression)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	RangeTblEntry *entry = makeNode(RangeTblEntry);
	PlannedStmt *statement = makeNode(PlannedStmt);
	AttrNumber n_columns;
	char *name;
	char *text;
	int level;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	n_columns = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
	name = pstrdup(NameStr(((Form_pg_class) GETSTRUCT(tuple))->relname));
	ReleaseSysCache(tuple);
	if (is_not_plain(expression, &n_columns))
		return NULL;

	expression = copyObject(expression);
	(void) move_system_columns(expression, &n_columns);
	entry->rtekind = RTE_VALUES;
	entry->eref = makeAlias(name, column_names(relid, n_columns));
	statement->rtable = list_make1(entry);
	level = fix_settings();
	text = deparse_expression(
		expression, deparse_context_for_plan_tree(statement, list_make1(name)), false, false);
	AtEOXact_GUC(true, level);
	return text;
}
