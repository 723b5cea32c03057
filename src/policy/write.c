/*
 * src/policy/write.c
 *		Writing the policies of smart.protect(), to a table and to its partitions.
 *
 * Expressions are read once, over the table that protect() was called with, under settings of our own.
 * From there on they are trees: the five calls differ in a constant, and a partition's have its own
 * column numbers. So nothing is written as SQL and read again, and what a policy says does not depend
 * on any setting.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/partition.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/policy.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_func.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "policy/call.h"
#include "policy/deparse.h"
#include "policy/stored.h"

PG_FUNCTION_INFO_V1(smart_expression_type);
PG_FUNCTION_INFO_V1(smart_put_policies);
PG_FUNCTION_INFO_V1(smart_copy_policies);
PG_FUNCTION_INFO_V1(smart_put_truncate_trigger);

static void
raise_expression(const char *source, const char *detail)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid expression over a protected table: %s", source),
			errdetail_internal("%s", detail),
			errhint("Put what is more than an expression over one row into an IMMUTABLE function."),
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "protect"));
}

/* Positions in errors are of the expression, not of the statement that calls us. */
static void
move_position(void *source)
{
	int position = geterrposition();

	if (position <= 0)
		return;
	errposition(0);
	if (*(const char *) source != '\0')
	{
		internalerrposition(position);
		internalerrquery(source);
	}
}

/* One expression, as the parser gives it. */
static Node *
parse(const char *source)
{
	ErrorContextCallback context = {error_context_stack, move_position, unconstify(char *, source)};
	List *statements;
	SelectStmt *select;
	SelectStmt *expected = makeNode(SelectStmt);
	ResTarget *target;

	error_context_stack = &context;
	statements = raw_parser(source, RAW_PARSE_PLPGSQL_EXPR);
	error_context_stack = context.previous;
	select = (SelectStmt *) linitial_node(RawStmt, statements)->stmt;
	expected->targetList = select->targetList;
	if (list_length(select->targetList) != 1 || !equal(select, expected))
		raise_expression(source, "It is no single expression.");
	target = linitial_node(ResTarget, select->targetList);
	if (target->name != NULL || target->indirection != NIL)
		raise_expression(source, "It has a name.");
	return target->val;
}

/* An expression over a relation, analyzed; of the raw tree that parse() gave. */
static Node *
analyze(Relation rel, Node *raw, const char *source)
{
	ErrorContextCallback context = {error_context_stack, move_position, unconstify(char *, source)};
	ParseState *pstate = make_parsestate(NULL);
	Node *expression;

	error_context_stack = &context;
	addNSItemToQuery(
		pstate,
		addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL, false, false),
		false,
		true,
		true);
	expression = transformExpr(pstate, raw, EXPR_KIND_POLICY);
	assign_expr_collations(pstate, expression);
	error_context_stack = context.previous;
	if (pstate->p_hasSubLinks)
		raise_expression(source, "It has a sub-select.");
	free_parsestate(pstate);
	return compat_expand_virtual_columns(expression, rel);
}

static Relation
open_table(Oid relid, LOCKMODE mode)
{
	Relation rel = try_table_open(relid, mode);

	if (rel == NULL || (rel->rd_rel->relkind != RELKIND_RELATION &&
						rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE))
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("relation with OID %u is not a table", relid));
	return rel;
}

/* The same; the caller must own it. */
static Relation
open_owned(Oid relid, LOCKMODE mode)
{
	Relation rel = open_table(relid, mode);

	if (!compat_is_owner(relid))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, RelationGetRelationName(rel));
	if (IsSystemRelation(rel))
		ereport(
			ERROR,
			errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			errmsg("permission denied: \"%s\" is a system catalog", RelationGetRelationName(rel)));
	return rel;
}

/*
 * smart_internal.expression_type(relation regclass, expression text) -> regtype: nothing is evaluated
 */
Datum
smart_expression_type(PG_FUNCTION_ARGS)
{
	char *source = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Oid relid = PG_GETARG_OID(0);
	Relation rel;
	int level;
	Oid type;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		ereport(ERROR,
				errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				errmsg("could not obtain lock on relation with OID %u", relid));
	rel = open_table(relid, NoLock);
	level = fix_settings();
	type = exprType(analyze(rel, parse(source), source));
	AtEOXact_GUC(true, level);
	table_close(rel, AccessShareLock);
	PG_RETURN_OID(type == UNKNOWNOID ? TEXTOID : type);
}

/* ---- the call ---- */

static Node *
text_literal(const char *value)
{
	A_Const *constant = makeNode(A_Const);
	TypeCast *cast = makeNode(TypeCast);

	constant->location = -1;
	constant->val.sval.type = T_String;
	constant->val.sval.sval = unconstify(char *, value);
	cast->arg = (Node *) constant;
	cast->typeName = SystemTypeName("text");
	cast->location = -1;
	return (Node *) cast;
}

/* The call of row_policy() for SELECT, as the arguments of smart_put_policies() say. */
static FuncExpr *
build_call(FunctionCallInfo fcinfo, Relation rel)
{
	enum
	{
		PUT_RELATION,
		PUT_PATIENTS,
		PUT_RESOURCE,
		PUT_TYPE,
		PUT_ID,
		PUT_OPTIONS,
		PUT_ORDER
	};
	static const int expressions[] = {PUT_PATIENTS, PUT_RESOURCE, PUT_TYPE, PUT_ID, PUT_ORDER};
	List *args = list_make1(text_literal(own_policies[OWN_SELECT].qual));
	Node *options = text_literal(JsonbToCString(
		NULL, &PG_GETARG_JSONB_P(PUT_OPTIONS)->root, VARSIZE(PG_GETARG_JSONB_P(PUT_OPTIONS))));
	FuncExpr *call;

	((TypeCast *) options)->typeName = SystemTypeName("jsonb");
	for (size_t i = 0; i < lengthof(expressions); i++)
	{
		if (expressions[i] == PUT_ORDER)
			args = lappend(args, options);
		if (!PG_ARGISNULL(expressions[i]))
			args = lappend(args, parse(text_to_cstring(PG_GETARG_TEXT_PP(expressions[i]))));
	}
	call = (FuncExpr *) analyze(
		rel,
		(Node *) makeFuncCall(list_make2(makeString("smart_internal"), makeString("row_policy")),
							  args,
							  COERCE_EXPLICIT_CALL,
							  -1),
		"");
	if (policy_as_call((Node *) call) == NULL)
		elog(ERROR, "could not build the call of a policy");
	return call;
}

static Node *
call_for(FuncExpr *call, const char *command)
{
	FuncExpr *result;

	if (command == NULL)
		return NULL;
	result = copyObject(call);
	lfirst(list_head(result->args)) = makeConst(
		TEXTOID, -1, DEFAULT_COLLATION_OID, -1, CStringGetTextDatum(command), false, false);
	return (Node *) result;
}

/* ---- the catalog ---- */

/* As CREATE POLICY does, but from trees. */
static void
insert_policy(Relation catalog, Relation rel, const OwnPolicy *own, FuncExpr *call)
{
	Node *expressions[] = {call_for(call, own->qual), call_for(call, own->check)};
	static const AttrNumber columns[] = {Anum_pg_policy_polqual, Anum_pg_policy_polwithcheck};
	Datum everybody = ObjectIdGetDatum(ACL_ID_PUBLIC);
	Datum values[Natts_pg_policy] = {0};
	bool nulls[Natts_pg_policy] = {0};
	ObjectAddress policy;
	ObjectAddress table;
	NameData name;
	HeapTuple tuple;
	Oid oid = GetNewOidWithIndex(catalog, PolicyOidIndexId, Anum_pg_policy_oid);

	namestrcpy(&name, own->name);
	values[Anum_pg_policy_oid - 1] = ObjectIdGetDatum(oid);
	values[Anum_pg_policy_polname - 1] = NameGetDatum(&name);
	values[Anum_pg_policy_polrelid - 1] = ObjectIdGetDatum(RelationGetRelid(rel));
	values[Anum_pg_policy_polcmd - 1] = CharGetDatum(own->command);
	values[Anum_pg_policy_polpermissive - 1] = BoolGetDatum(true);
	values[Anum_pg_policy_polroles - 1] =
		PointerGetDatum(construct_array(&everybody, 1, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
	ObjectAddressSet(policy, PolicyRelationId, oid);
	ObjectAddressSet(table, RelationRelationId, RelationGetRelid(rel));
	for (size_t i = 0; i < lengthof(expressions); i++)
	{
		nulls[columns[i] - 1] = expressions[i] == NULL;
		if (expressions[i] != NULL)
			values[columns[i] - 1] = CStringGetTextDatum(nodeToString(expressions[i]));
	}
	tuple = heap_form_tuple(RelationGetDescr(catalog), values, nulls);
	CatalogTupleInsert(catalog, tuple);
	recordDependencyOn(&policy, &table, DEPENDENCY_AUTO);
	for (size_t i = 0; i < lengthof(expressions); i++)
		if (expressions[i] != NULL)
			recordDependencyOnSingleRelExpr(&policy,
											expressions[i],
											RelationGetRelid(rel),
											DEPENDENCY_NORMAL,
											DEPENDENCY_NORMAL,
											false);
	InvokeObjectPostCreateHook(PolicyRelationId, oid, 0);
	heap_freetuple(tuple);
}

static void
write_policies(Relation rel, FuncExpr *call)
{
	Relation catalog = table_open(PolicyRelationId, RowExclusiveLock);

	for (int i = 0; i < N_OWN_POLICIES; i++)
	{
		ObjectAddress old;
		Oid oid = get_relation_policy_oid(RelationGetRelid(rel), own_policies[i].name, true);

		if (OidIsValid(oid))
		{
			ObjectAddressSet(old, PolicyRelationId, oid);
			performDeletion(&old, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
		}
	}
	CommandCounterIncrement();
	for (int i = 0; i < N_OWN_POLICIES; i++)
		insert_policy(catalog, rel, &own_policies[i], call);
	CacheInvalidateRelcache(rel);
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
}

/* The call with the column numbers of another table of the same partition tree. */
static FuncExpr *
map_call(FuncExpr *call, Relation from, Relation to)
{
	return linitial(map_partition_varattnos(list_make1(copyObject(call)), 1, to, from));
}

/*
 * smart_internal.put_policies(relation regclass, patients, resource, type, id text, options jsonb,
 * order_by text): the policies of a table and of all its partitions that can have some. The
 * expressions are SQL; id and order_by may be NULL.
 */
Datum
smart_put_policies(PG_FUNCTION_ARGS)
{
	Relation rel;
	FuncExpr *call;
	List *parts;
	ListCell *cell;
	int level;

	for (int i = 0; i < (int) PG_NARGS() - 1; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					errmsg("arguments of smart_internal.put_policies() must not be null"));
	rel = open_owned(PG_GETARG_OID(0), AccessExclusiveLock);
	level = fix_settings();
	call = build_call(fcinfo, rel);
	AtEOXact_GUC(true, level);
	write_policies(rel, call);
	parts = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE
				? find_all_inheritors(RelationGetRelid(rel), AccessExclusiveLock, NULL)
				: NIL;
	foreach(cell, parts)
	{
		Relation part;

		if (lfirst_oid(cell) == RelationGetRelid(rel) ||
			get_rel_relkind(lfirst_oid(cell)) == RELKIND_FOREIGN_TABLE)
			continue;
		part = open_owned(lfirst_oid(cell), NoLock);
		write_policies(part, map_call(call, rel, part));
		table_close(part, NoLock);
	}
	table_close(rel, NoLock);
	PG_RETURN_VOID();
}

/* smart_internal.copy_policies(from_table regclass, to_table regclass): to a partition of it */
Datum
smart_copy_policies(PG_FUNCTION_ARGS)
{
	Relation from = open_owned(PG_GETARG_OID(0), AccessShareLock);
	Relation to = open_owned(PG_GETARG_OID(1), AccessExclusiveLock);
	FuncExpr *call = policy_call_stored(RelationGetRelid(from));

	if (call == NULL || !to->rd_rel->relispartition)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("relation \"%s\" is no partition of a protected table",
					   RelationGetRelationName(to)));
	write_policies(to, map_call(call, from, to));
	table_close(to, NoLock);
	table_close(from, NoLock);
	PG_RETURN_VOID();
}

/*
 * smart_internal.put_truncate_trigger(relation regclass): the trigger against TRUNCATE. Its function
 * is for nobody, and CREATE TRIGGER asks for that: so as whom the function belongs to.
 */
Datum
smart_put_truncate_trigger(PG_FUNCTION_ARGS)
{
	List *function = list_make2(makeString("smart_internal"), makeString("refuse_truncate"));
	Oid funcid = LookupFuncName(function, 0, NULL, false);
	Relation rel = open_owned(PG_GETARG_OID(0), ShareRowExclusiveLock);
	CreateTrigStmt *statement = makeNode(CreateTrigStmt);
	Oid user;
	int context;

	statement->trigname = "smart_refuse_truncate";
	statement->relation = makeRangeVar(
		get_namespace_name(RelationGetNamespace(rel)), pstrdup(RelationGetRelationName(rel)), -1);
	statement->funcname = function;
	statement->timing = TRIGGER_TYPE_BEFORE;
	statement->events = TRIGGER_TYPE_TRUNCATE;
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE);
	(void) CreateTriggerFiringOn(statement,
								 NULL,
								 RelationGetRelid(rel),
								 InvalidOid,
								 InvalidOid,
								 InvalidOid,
								 funcid,
								 InvalidOid,
								 NULL,
								 false,
								 false,
								 TRIGGER_FIRES_ALWAYS);
	SetUserIdAndSecContext(user, context);
	table_close(rel, NoLock);
	CommandCounterIncrement();
	PG_RETURN_VOID();
}
