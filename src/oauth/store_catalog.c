/*
 * src/oauth/store_catalog.c
 *		Names, columns and OIDs of the tables of sql/oauth/10_tables.sql, and when rows that are kept
 *		parsed may have changed. Reads no rows.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "oauth/store_catalog.h"

const StoreTableInfo store_tables[STORE_N_TABLES] = {
	[STORE_CONFIGURATION] = {"oauth_configuration", CONFIGURATION_OPTIONS, NULL, 0, true},
	[STORE_SIGNING_KEY] = {"oauth_signing_key", SIGNING_KEY_RETIRED_AT, NULL, 0, true},
	[STORE_CLIENT] =
		{"oauth_client", CLIENT_EXPIRES_AT, "oauth_client_expires", CLIENT_EXPIRES_AT, true},
	[STORE_CLIENT_EVENT] = {"oauth_client_event", CLIENT_EVENT_GRANT_ID, NULL, 0, true},
	[STORE_CLIENT_SECRET] = {"oauth_client_secret",
							 CLIENT_SECRET_EXPIRES_AT,
							 "oauth_client_secret_expires",
							 CLIENT_SECRET_EXPIRES_AT},
	[STORE_LAUNCH] = {"oauth_launch", LAUNCH_EXPIRES_AT, "oauth_launch_expires", LAUNCH_EXPIRES_AT},
	[STORE_GRANT] = {"oauth_grant", GRANT_EXPIRES_AT, "oauth_grant_expires", GRANT_EXPIRES_AT},
	[STORE_GRANT_END] = {"oauth_grant_end",
						 GRANT_END_EXPIRES_AT,
						 "oauth_grant_end_expires",
						 GRANT_END_EXPIRES_AT},
	[STORE_ENDING] = {"oauth_ending", ENDING_EXPIRES_AT, "oauth_ending_expires", ENDING_EXPIRES_AT},
	[STORE_CODE] = {"oauth_code", CODE_KEPT_UNTIL, "oauth_code_kept", CODE_KEPT_UNTIL},
	[STORE_REFRESH_TOKEN] = {"oauth_refresh_token",
							 REFRESH_TOKEN_USED_AT,
							 "oauth_refresh_token_expires",
							 REFRESH_TOKEN_EXPIRES_AT},
	[STORE_JTI] = {"oauth_jti", JTI_EXPIRES_AT, "oauth_jti_expires", JTI_EXPIRES_AT},
	[STORE_RECEIPT] = {"oauth_receipt",
					   RECEIPT_EXPIRES_AT,
					   "oauth_receipt_expires",
					   RECEIPT_EXPIRES_AT},
	[STORE_FAILURE] = {"oauth_failure", FAILURE_FAILURES, NULL, 0},
	[STORE_REGISTRATION_TOKEN] = {"oauth_registration_token",
								  REGISTRATION_TOKEN_EXPIRES_AT,
								  "oauth_registration_token_expires",
								  REGISTRATION_TOKEN_EXPIRES_AT},
	[STORE_CDS_CLIENT] = {"oauth_cds_client", CDS_CLIENT_TENANTS, NULL, 0},
	[STORE_DEVICE_CODE] = {"oauth_device_code",
						   DEVICE_CODE_KEPT_UNTIL,
						   "oauth_device_code_kept",
						   DEVICE_CODE_KEPT_UNTIL},
	[STORE_GUESS] = {"oauth_guess", GUESS_UNUSED, NULL, 0},
};

const StoreIndexInfo store_indexes[STORE_N_INDEXES] = {
	[STORE_CONFIGURATION_ALL] = {STORE_CONFIGURATION, "oauth_configuration_pkey", 0, 0},
	[STORE_SIGNING_KEY_ALL] = {STORE_SIGNING_KEY, "oauth_signing_key_pkey", 0, 0},
	[STORE_SIGNING_KEY_BY_KID] = {STORE_SIGNING_KEY,
								  "oauth_signing_key_pkey",
								  SIGNING_KEY_KID,
								  F_TEXTEQ},
	[STORE_CLIENT_BY_ID] = {STORE_CLIENT, "oauth_client_pkey", CLIENT_CLIENT_ID, F_TEXTEQ},
	[STORE_CLIENT_EVENT_BY_CLIENT] = {STORE_CLIENT_EVENT,
									  "oauth_client_event_client",
									  CLIENT_EVENT_CLIENT_ID,
									  F_TEXTEQ},
	[STORE_CLIENT_SECRET_BY_CLIENT] = {STORE_CLIENT_SECRET,
									   "oauth_client_secret_client",
									   CLIENT_SECRET_CLIENT_ID,
									   F_TEXTEQ},
	[STORE_LAUNCH_BY_HASH] = {STORE_LAUNCH, "oauth_launch_pkey", LAUNCH_HASH, F_BYTEAEQ},
	[STORE_LAUNCH_ALL] = {STORE_LAUNCH, "oauth_launch_pkey", 0, 0},
	[STORE_GRANT_BY_ID] = {STORE_GRANT, "oauth_grant_pkey", GRANT_GRANT_ID, F_TEXTEQ},
	[STORE_GRANT_BY_SUB] = {STORE_GRANT, "oauth_grant_sub", GRANT_SUB, F_TEXTEQ},
	[STORE_GRANT_BY_CLIENT] = {STORE_GRANT, "oauth_grant_client", GRANT_CLIENT_ID, F_TEXTEQ},
	[STORE_GRANT_ALL] = {STORE_GRANT, "oauth_grant_pkey", 0, 0},
	[STORE_GRANT_END_BY_GRANT] = {STORE_GRANT_END,
								  "oauth_grant_end_grant",
								  GRANT_END_GRANT_ID,
								  F_TEXTEQ},
	[STORE_ENDING_BY_SUB] = {STORE_ENDING, "oauth_ending_sub", ENDING_SUB, F_TEXTEQ},
	[STORE_CODE_BY_HASH] = {STORE_CODE, "oauth_code_pkey", CODE_HASH, F_BYTEAEQ},
	[STORE_CODE_BY_GRANT] = {STORE_CODE, "oauth_code_grant", CODE_GRANT_ID, F_TEXTEQ},
	[STORE_CODE_ALL] = {STORE_CODE, "oauth_code_pkey", 0, 0},
	[STORE_REFRESH_TOKEN_BY_HASH] = {STORE_REFRESH_TOKEN,
									 "oauth_refresh_token_pkey",
									 REFRESH_TOKEN_HASH,
									 F_BYTEAEQ},
	[STORE_REFRESH_TOKEN_BY_GRANT] = {STORE_REFRESH_TOKEN,
									  "oauth_refresh_token_grant",
									  REFRESH_TOKEN_GRANT_ID,
									  F_TEXTEQ},
	[STORE_JTI_BY_HASH] = {STORE_JTI, "oauth_jti_pkey", JTI_HASH, F_BYTEAEQ},
	[STORE_RECEIPT_BY_HASH] = {STORE_RECEIPT, "oauth_receipt_pkey", RECEIPT_HASH, F_BYTEAEQ},
	[STORE_RECEIPT_ALL] = {STORE_RECEIPT, "oauth_receipt_pkey", 0, 0},
	[STORE_FAILURE_BY_SLOT] = {STORE_FAILURE, "oauth_failure_pkey", FAILURE_SLOT, F_INT4EQ},
	[STORE_REGISTRATION_TOKEN_BY_HASH] = {STORE_REGISTRATION_TOKEN,
										  "oauth_registration_token_pkey",
										  REGISTRATION_TOKEN_HASH,
										  F_BYTEAEQ},
	[STORE_CDS_CLIENT_BY_ISS] = {STORE_CDS_CLIENT,
								 "oauth_cds_client_pkey",
								 CDS_CLIENT_ISS,
								 F_TEXTEQ},
	[STORE_DEVICE_CODE_BY_HASH] = {STORE_DEVICE_CODE,
								   "oauth_device_code_pkey",
								   DEVICE_CODE_HASH,
								   F_BYTEAEQ},
	[STORE_DEVICE_CODE_BY_USER_CODE] = {STORE_DEVICE_CODE,
										"oauth_device_code_user_code",
										DEVICE_CODE_USER_CODE,
										F_BYTEAEQ},
};

/* What was found by name; forgotten when the relation is dropped or renamed. */
static Oid table_oids[STORE_N_TABLES];
static Oid index_oids[STORE_N_INDEXES];
static Oid expiry_oids[STORE_N_TABLES];
static uint64 epoch = 1;

PG_FUNCTION_INFO_V1(smart_oauth_changed);

/* A callback may do no catalog access. InvalidOid means "everything". */
static void
relation_changed(Datum arg, Oid relid)
{
	for (int i = 0; i < STORE_N_TABLES; i++)
	{
		if (store_tables[i].watched && (relid == InvalidOid || relid == table_oids[i]))
			epoch++;
		if (relid == InvalidOid || relid == table_oids[i])
			table_oids[i] = InvalidOid;
		if (relid == InvalidOid || relid == expiry_oids[i])
			expiry_oids[i] = InvalidOid;
	}
	for (int i = 0; i < STORE_N_INDEXES; i++)
		if (relid == InvalidOid || relid == index_oids[i])
			index_oids[i] = InvalidOid;
}

void
store_init(void)
{
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
}

uint64
store_epoch(void)
{
	AcceptInvalidationMessages();
	return epoch;
}

/* Trigger of the watched tables, for what others than this file write: tell every backend. */
Datum
smart_oauth_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" was not called by trigger manager", "oauth_changed"));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}

/* smart_internal belongs to the extensions' owner: nobody else can make a table of this name. */
static Oid
find_relation(const char *name, Oid *known)
{
	Oid schema;

	if (OidIsValid(*known))
		return *known;
	schema = get_namespace_oid("smart_internal", true);
	*known = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
	if (!OidIsValid(*known))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("extension \"smart_fhir_oauth\" is not installed in this database"),
				errhint("Run CREATE EXTENSION smart_fhir_oauth."));
	return *known;
}

Oid
store_table_oid(StoreTable table)
{
	return find_relation(store_tables[table].name, &table_oids[table]);
}

Oid
store_index_oid(StoreIndex index)
{
	return find_relation(store_indexes[index].name, &index_oids[index]);
}

Oid
store_expiry_index_oid(StoreTable table)
{
	return find_relation(store_tables[table].expiry_index, &expiry_oids[table]);
}
