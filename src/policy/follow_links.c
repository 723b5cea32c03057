/*
 * src/policy/follow_links.c
 *		Which tables follow which.
 *
 * A link is a constraint trigger on the followed table FROM the following one: PostgreSQL stores
 * both as OIDs, follows them through renames, writes their present names into dumps, and drops it
 * with either table. No name is ever looked up. Nobody may execute the trigger's function, and so
 * nobody but smart_internal.link_follower() below, which asks for the owner of both tables, makes
 * a link; who only restores a dump is a superuser. That is why a partitioned table has no such
 * trigger itself, but each leaf has: whoever makes a partition would have to be allowed to execute
 * the function of each one that PostgreSQL clones. A leaf's link says so, and counts as the table's
 * while the leaf is a partition.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/reltrigger.h"
#include "utils/syscache.h"

#include "compat.h"
#include "policy/follow_links.h"
#include "policy/owner.h"

PG_FUNCTION_INFO_V1(smart_link_follower);
PG_FUNCTION_INFO_V1(smart_keep_followed_by);

#define LINK_FUNCTION "touch_followers"
#define KEEP_FUNCTION "keep_followed"

/* ---- reading ---- */

static bool
is_link(Oid function)
{
	char *name = get_func_name(function);
	char *schema = name && strcmp(name, LINK_FUNCTION) == 0
					   ? get_namespace_name(get_func_namespace(function))
					   : NULL;
	bool result = schema != NULL && strcmp(schema, "smart_internal") == 0;

	if (schema != NULL)
		pfree(schema);
	if (name != NULL)
		pfree(name);
	return result;
}

Oid
follow_root(Oid relid)
{
	List *ancestors;

	if (!get_rel_relispartition(relid))
		return relid;
	ancestors = get_partition_ancestors(relid);
	return ancestors == NIL ? relid : llast_oid(ancestors);
}

List *
follow_leaves(Oid relid)
{
	List *all;
	List *leaves = NIL;
	ListCell *cell;

	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
		return list_make1_oid(relid);
	all = find_all_inheritors(relid, NoLock, NULL);
	foreach(cell, all)
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_RELATION)
			leaves = lappend_oid(leaves, lfirst_oid(cell));
	return leaves;
}

/* The links' second argument, on a leaf partition. */
#define PART_ARGUMENT "partition"

List *
follow_followers(Relation followed)
{
	TriggerDesc *triggers = followed->trigdesc;
	List *followers = NIL;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		if (OidIsValid(triggers->triggers[i].tgconstrrelid) &&
			(triggers->triggers[i].tgnargs == 1 || followed->rd_rel->relispartition) &&
			is_link(triggers->triggers[i].tgfoid))
			followers = list_append_unique_oid(followers, triggers->triggers[i].tgconstrrelid);
	return followers;
}

/* The link that a trigger makes, appended, unless another leaf's says the same. */
static FollowedTable *
add_link(FollowedTable *links, int *n, Form_pg_trigger trigger, bytea *args)
{
	bool part = trigger->tgnargs > 1;
	FollowedTable link;

	if (trigger->tgnargs < 1 || (part && !get_rel_relispartition(trigger->tgrelid)))
		return links;
	link.relid = part ? follow_root(trigger->tgrelid) : trigger->tgrelid;
	/* ends with a NUL */
	strlcpy(link.type, VARDATA_ANY(args), Min(sizeof(link.type), (size_t) VARSIZE_ANY_EXHDR(args)));
	for (int i = 0; i < *n; i++)
		if (links[i].relid == link.relid && strcmp(links[i].type, link.type) == 0)
			return links;
	links = repalloc(links, sizeof(FollowedTable) * (*n + 1));
	links[(*n)++] = link;
	return links;
}

/* The links FROM a table, appended. */
static FollowedTable *
read_links(Oid follower, FollowedTable *links, int *n)
{
	Relation depend = table_open(DependRelationId, AccessShareLock);
	Relation triggers = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key[0],
				Anum_pg_depend_refclassid,
				BTEqualStrategyNumber,
				F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1],
				Anum_pg_depend_refobjid,
				BTEqualStrategyNumber,
				F_OIDEQ,
				ObjectIdGetDatum(follower));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend dependency = (Form_pg_depend) GETSTRUCT(tuple);
		ScanKeyData trigger_key;
		SysScanDesc trigger_scan;
		HeapTuple stored;

		if (dependency->classid != TriggerRelationId)
			continue;
		ScanKeyInit(&trigger_key,
					Anum_pg_trigger_oid,
					BTEqualStrategyNumber,
					F_OIDEQ,
					ObjectIdGetDatum(dependency->objid));
		trigger_scan = systable_beginscan(triggers, TriggerOidIndexId, true, NULL, 1, &trigger_key);
		stored = systable_getnext(trigger_scan);
		if (HeapTupleIsValid(stored))
		{
			Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(stored);
			bool isnull;
			Datum args =
				heap_getattr(stored, Anum_pg_trigger_tgargs, RelationGetDescr(triggers), &isnull);

			if (trigger->tgconstrrelid == follower && !isnull && is_link(trigger->tgfoid))
				links = add_link(links, n, trigger, DatumGetByteaPP(args));
		}
		systable_endscan(trigger_scan);
	}
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	table_close(depend, AccessShareLock);
	return links;
}

/* Remembered by the follower's OID until any table changes. */
typedef struct KnownLinks
{
	Oid follower;
	int n;
	FollowedTable *links;
} KnownLinks;

static MemoryContext known_context = NULL;
static HTAB *known = NULL;
static bool known_is_valid = false;

static void
forget_links(Datum arg, Oid relid)
{
	known_is_valid = false;
}

static void
start_knowing(void)
{
	HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(KnownLinks)};

	if (known_is_valid)
		return;
	if (known_context == NULL)
		known_context = AllocSetContextCreate(
			TopMemoryContext, "smart_fhir follow links", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(known_context);
	control.hcxt = known_context;
	known =
		hash_create("smart_fhir follow links", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	known_is_valid = true;
}

FollowedTable *
follow_links(Oid follower, int *n)
{
	KnownLinks *entry;
	FollowedTable *links = NULL;
	bool found = false;

	if (known_is_valid)
	{
		entry = hash_search(known, &follower, HASH_FIND, NULL);
		if (entry != NULL)
		{
			*n = entry->n;
			links = palloc(sizeof(FollowedTable) * Max(entry->n, 1));
			memcpy(links, entry->links, sizeof(FollowedTable) * entry->n);
			return links;
		}
	}
	start_knowing();
	*n = 0;
	links = read_links(follower, palloc(sizeof(FollowedTable)), n);
	if (get_rel_relispartition(follower))
	{
		ListCell *cell;

		foreach(cell, get_partition_ancestors(follower))
			links = read_links(lfirst_oid(cell), links, n);
	}
	/* unless something changed while they were read */
	if (known_is_valid)
	{
		FollowedTable *copy = MemoryContextAlloc(known_context, sizeof(FollowedTable) * Max(*n, 1));

		memcpy(copy, links, sizeof(FollowedTable) * *n);
		entry = hash_search(known, &follower, HASH_ENTER, &found);
		entry->n = *n;
		entry->links = copy;
	}
	return links;
}

void
follow_links_init(void)
{
	CacheRegisterRelcacheCallback(forget_links, (Datum) 0);
}

/* ---- making ---- */

/* A name that no trigger of the table has: the stem, or with a number. */
static char *
free_name(Relation rel, const char *stem)
{
	char *name = pstrdup(stem);

	for (int n = 1;; n++)
	{
		bool taken = false;

		for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
			taken |= strcmp(rel->trigdesc->triggers[i].tgname, name) == 0;
		if (!taken)
			return name;
		name = psprintf("%s_%d", stem, n);
	}
}

static Relation
open_own_table(Oid relid, LOCKMODE mode)
{
	Relation rel;

	(void) owner_checked(relid);
	rel = table_open(relid, mode);
	/* it may have been given away while we waited */
	(void) owner_checked(relid);
	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		(rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE || mode != AccessShareLock))
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg(rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE
						   ? "\"%s\" is a partitioned table: its partitions have the triggers"
						   : "\"%s\" is not a table",
					   RelationGetRelationName(rel)));
	return rel;
}

static void
make_trigger(CreateTrigStmt *stmt, Relation rel, Oid from, const char *function)
{
	List *name = list_make2(makeString("smart_internal"), makeString(pstrdup(function)));
	Oid funcid = LookupFuncName(name, 0, NULL, false);
	AsOwner before;

	stmt->funcname = name;
	stmt->row = true;
	/* nobody may execute the functions, and CREATE TRIGGER asks for that */
	before = become_owner(BOOTSTRAP_SUPERUSERID);
	(void) CreateTriggerFiringOn(stmt,
								 NULL,
								 RelationGetRelid(rel),
								 from,
								 InvalidOid,
								 InvalidOid,
								 funcid,
								 InvalidOid,
								 NULL,
								 false,
								 false,
								 TRIGGER_FIRES_ALWAYS);
	leave_owner(before);
	CommandCounterIncrement();
}

/* smart_internal.link_follower(followed regclass, follower regclass, type text, part boolean) */
Datum
smart_link_follower(PG_FUNCTION_ARGS)
{
	char *type = text_to_cstring(PG_GETARG_TEXT_PP(2));
	bool part = PG_GETARG_BOOL(3);
	Relation followed = open_own_table(PG_GETARG_OID(0), ShareRowExclusiveLock);
	Relation follower = open_own_table(PG_GETARG_OID(1), AccessShareLock);
	CreateTrigStmt *stmt = makeNode(CreateTrigStmt);

	if (strlen(type) >= sizeof(((FollowedTable *) 0)->type))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid value for parameter \"%s\"", "type"));
	if (part && !followed->rd_rel->relispartition)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" is not a partition", RelationGetRelationName(followed)));
	if (followed->rd_rel->relowner != follower->rd_rel->relowner)
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("a table can follow tables of its owner only"));
	stmt->isconstraint = true;
	stmt->trigname = free_name(followed, "smart_followed");
	stmt->args = list_make1(makeString(type));
	if (part)
		stmt->args = lappend(stmt->args, makeString(PART_ARGUMENT));
	stmt->timing = TRIGGER_TYPE_AFTER;
	stmt->events = TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE;
	make_trigger(stmt, followed, RelationGetRelid(follower), LINK_FUNCTION);
	table_close(follower, NoLock);
	table_close(followed, NoLock);
	PG_RETURN_VOID();
}

/* smart_internal.keep_followed_by(follower regclass): the triggers of a table that follows */
Datum
smart_keep_followed_by(PG_FUNCTION_ARGS)
{
	Relation rel = open_own_table(PG_GETARG_OID(0), ShareRowExclusiveLock);

	for (int after = 0; after < 2; after++)
	{
		CreateTrigStmt *stmt = makeNode(CreateTrigStmt);

		stmt->trigname = pstrdup(after ? "smart_follow_check" : "smart_follow");
		stmt->timing = after ? TRIGGER_TYPE_AFTER : TRIGGER_TYPE_BEFORE;
		stmt->events = TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE;
		make_trigger(stmt, rel, InvalidOid, KEEP_FUNCTION);
	}
	table_close(rel, NoLock);
	PG_RETURN_VOID();
}
