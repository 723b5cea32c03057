/*
 * src/policy/owner.c
 *		SQL as a table's owner. See owner.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "policy/owner.h"

PG_FUNCTION_INFO_V1(smart_spells_references);

AsOwner
become_owner(Oid owner)
{
	AsOwner before;

	GetUserIdAndSecContext(&before.user, &before.context);
	SetUserIdAndSecContext(owner,
						   before.context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	return before;
}

void
leave_owner(AsOwner before)
{
	SPI_finish();
	SetUserIdAndSecContext(before.user, before.context);
}

Oid
owner_checked(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation with OID %u does not exist", relid));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	if (!has_privs_of_role(GetUserId(), owner))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
	return owner;
}

/*
 * smart_internal.spells_references(relation regclass, keys text) -> boolean: of one stored key; NULL when
 * there is none
 */
Datum
smart_spells_references(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	Oid types[] = {REGCLASSOID, TEXTOID};
	Datum values[] = {ObjectIdGetDatum(relid), PG_GETARG_DATUM(1)};
	AsOwner before = become_owner(owner_checked(relid));
	Datum answer;
	bool isnull;
	Oid user;
	int context;

	/* a function in the owner's expression must leave nothing that runs later, as the caller */
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(user, context | SECURITY_RESTRICTED_OPERATION);
	if (SPI_execute_with_args(
			"SELECT smart_internal.look_at_keys($1, $2)", 2, types, values, NULL, false, 1) !=
			SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not look at the keys of a table");
	answer = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	leave_owner(before);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(answer);
}
