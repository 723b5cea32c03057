/*
 * src/oauth/procedures.c
 *		smart.token(), introspect(), revoke(): what was burnt is committed before the answer is given.
 *		smart.burn() and redeem(): the same in two transactions of the caller's.
 *
 * A procedure that commits can be neither SECURITY DEFINER nor have a SET clause. So these run with
 * the caller's rights and resolve nothing of the caller's: all they do goes through
 * src/oauth/store.c (design.md, decision 5).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "compat.h"
#include "oauth/answer.h"
#include "oauth/client.h"
#include "oauth/configuration.h"
#include "oauth/endpoint.h"
#include "oauth/grant.h"
#include "oauth/procedures.h"
#include "oauth/seal.h"
#include "oauth/secret.h"
#include "oauth/store.h"

#define RECEIPT_LIFETIME_SECS 60

PG_FUNCTION_INFO_V1(smart_oauth_token);
PG_FUNCTION_INFO_V1(smart_oauth_introspect);
PG_FUNCTION_INFO_V1(smart_oauth_revoke);
PG_FUNCTION_INFO_V1(smart_oauth_burn);
PG_FUNCTION_INFO_V1(smart_oauth_redeem);

typedef struct Endpoint
{
	const char *name;
	bool (*run)(const Jsonb *request, const Jsonb *headers, Outcome *outcome);
} Endpoint;

static const Endpoint endpoints[] = {
	{"token", endpoint_token}, {"introspect", endpoint_introspect}, {"revoke", endpoint_revoke}};

void
procedure_require_nonatomic(FunctionCallInfo fcinfo, const char *name)
{
	if (fcinfo->context != NULL && IsA(fcinfo->context, CallContext) &&
		!castNode(CallContext, fcinfo->context)->atomic && !IsSubTransaction())
		return;
	ereport(ERROR,
			errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
			errmsg("%s cannot run inside a transaction block", name),
			errdetail("What is good once must be burnt for good before the answer is given."),
			errhint("Call it outside of one, in autocommit mode, or use smart.burn() and "
					"smart.redeem()."),
			errhidestmt(true),
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "transaction_block"));
}

/* What this transaction burns stays burnt when the server stops, whatever the caller has set. */
void
procedure_make_durable(void)
{
	if (synchronous_commit < SYNCHRONOUS_COMMIT_ON)
		(void) set_config_option("synchronous_commit",
								 "on",
								 PGC_USERSET,
								 PGC_S_SESSION,
								 GUC_ACTION_LOCAL,
								 true,
								 0,
								 false);
	ForceSyncCommit();
}

Datum
procedure_commit(FunctionCallInfo fcinfo, Jsonb *(*work)(FunctionCallInfo, const void *),
				 const void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	TupleDesc desc;
	Jsonb *answer;
	Datum value;
	bool isnull = false;
	HeapTuple tuple;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != 1)
		elog(ERROR, "procedure must have one INOUT parameter");
	desc = BlessTupleDesc(desc);
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	answer = work(fcinfo, arg);
	/* in memory that the commit leaves alone */
	MemoryContextSwitchTo(caller);
	value = JsonbPGetDatum(answer);
	tuple = heap_form_tuple(desc, &value, &isnull);
	SPI_commit();
	SPI_finish();
	MemoryContextSwitchTo(caller);
	PG_RETURN_DATUM(HeapTupleGetDatum(tuple));
}

static void
require_arguments(FunctionCallInfo fcinfo, int first, const char *const *names)
{
	for (int i = 0; i < 2; i++)
		if (PG_ARGISNULL(first + i))
			ereport(ERROR,
					errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					errmsg("parameter \"%s\" must not be null", names[i]),
					err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
					err_generic_string(PG_DIAG_CONSTRAINT_NAME, "invalid_parameter"));
}

static const char *const message_names[] = {"request", "headers"};

static Jsonb *
run_endpoint(FunctionCallInfo fcinfo, const void *endpoint)
{
	Outcome outcome = {.endpoint = ((const Endpoint *) endpoint)->name};

	(void) configuration_get(); /* or raise, whatever the request is */
	(void) ((const Endpoint *) endpoint)->run(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1), &outcome);
	procedure_make_durable();
	return outcome_answer(&outcome);
}

static Datum
call_endpoint(FunctionCallInfo fcinfo, const Endpoint *endpoint)
{
	procedure_require_nonatomic(fcinfo, psprintf("smart.%s()", endpoint->name));
	require_arguments(fcinfo, 0, message_names);
	return procedure_commit(fcinfo, run_endpoint, endpoint);
}

Datum
smart_oauth_token(PG_FUNCTION_ARGS)
{
	return call_endpoint(fcinfo, &endpoints[0]);
}

Datum
smart_oauth_introspect(PG_FUNCTION_ARGS)
{
	return call_endpoint(fcinfo, &endpoints[1]);
}

Datum
smart_oauth_revoke(PG_FUNCTION_ARGS)
{
	return call_endpoint(fcinfo, &endpoints[2]);
}

static const Endpoint *
endpoint_by_name(const char *name)
{
	for (size_t i = 0; i < lengthof(endpoints); i++)
		if (strcmp(name, endpoints[i].name) == 0)
			return &endpoints[i];
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid value for parameter \"%s\"", "endpoint"),
			errhint("Valid values are token, introspect and revoke."),
			errhidestmt(true),
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "invalid_parameter"));
}

/* The answer is sealed under the receipt, of which the table has no more than the hash. */
static const unsigned char *
receipt_key(const char *receipt)
{
	bytea *key = secret_hash(psprintf("answer %s", receipt), strlen(receipt) + 7);

	return (const unsigned char *) VARDATA(key);
}

/* smart.burn(endpoint text, request jsonb, headers jsonb) -> text */
Datum
smart_oauth_burn(PG_FUNCTION_ARGS)
{
	Outcome outcome = {0};
	const Endpoint *endpoint;
	char *receipt;
	char *answer;
	Jsonb *json;
	StoreRow *row;
	TimestampTz now;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("parameter \"%s\" must not be null", "endpoint"),
				err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
				err_generic_string(PG_DIAG_CONSTRAINT_NAME, "invalid_parameter"));
	endpoint = endpoint_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	require_arguments(fcinfo, 1, message_names);
	(void) configuration_get();
	outcome.endpoint = endpoint->name;
	(void) endpoint->run(PG_GETARG_JSONB_P(1), PG_GETARG_JSONB_P(2), &outcome);
	json = outcome_answer(&outcome);
	answer = JsonbToCString(NULL, &json->root, VARSIZE(json));
	receipt = secret_make();
	now = GetCurrentTimestamp();

	row = store_row(STORE_RECEIPT);
	store_set(row, RECEIPT_HASH, PointerGetDatum(secret_hash(receipt, strlen(receipt))));
	store_set(row,
			  RECEIPT_ANSWER,
			  PointerGetDatum(seal(receipt_key(receipt), "receipt", answer, strlen(answer))));
	store_set(row, RECEIPT_OWNER, ObjectIdGetDatum(GetSessionUserId()));
	store_set(row, RECEIPT_MADE_BY, FullTransactionIdGetDatum(GetTopFullTransactionId()));
	store_set_text(row, RECEIPT_CLIENT_ID, outcome.client_id);
	store_set_text(row, RECEIPT_GRANT_ID, outcome.grant_id);
	store_set(row, RECEIPT_MADE_AT, TimestampTzGetDatum(now));
	store_set(
		row, RECEIPT_EXPIRES_AT, TimestampTzGetDatum(now + RECEIPT_LIFETIME_SECS * USECS_PER_SEC));
	store_insert(row);
	store_clean_sometimes(STORE_RECEIPT);
	procedure_make_durable();
	PG_RETURN_TEXT_P(cstring_to_text(receipt));
}

/* Has the client been disabled, or the grant ended, since it was burnt? */
static bool
is_overtaken(const StoreRow *row)
{
	char *client_id = store_text(row, RECEIPT_CLIENT_ID);
	char *grant_id = store_text(row, RECEIPT_GRANT_ID);
	const OauthClient *client;
	OauthGrant *grant;

	if (client_id == NULL)
		return false;
	client = client_find(client_id);
	if (client == NULL || !client->enabled)
		return true;
	if (grant_id == NULL)
		return false;
	grant = grant_find(grant_id);
	return grant == NULL ? grant_id_is_ended(grant_id) || strcmp(grant_id, client->grant_id) != 0
						 : !grant_is_live(grant, client);
}

/* The answer, or NULL and why not. */
static Jsonb *
redeem(const char *receipt, const char **reason)
{
	StoreRow *row = NULL;
	char *answer;
	size_t len;

	*reason = "the receipt is not known or was used";
	if (receipt != NULL && secret_has_shape(receipt))
		row = store_find(STORE_RECEIPT_BY_HASH,
						 PointerGetDatum(secret_hash(receipt, strlen(receipt))));
	if (row == NULL)
		return NULL;
	if (DatumGetObjectId(row->values[RECEIPT_OWNER]) != GetSessionUserId())
	{
		*reason = "the receipt is another user's";
		return NULL;
	}
	/* what its own transaction burns may still be rolled back */
	if (FullTransactionIdEquals(DatumGetFullTransactionId(row->values[RECEIPT_MADE_BY]),
								GetTopFullTransactionIdIfAny()))
	{
		*reason = "the receipt is of this same transaction";
		return NULL;
	}
	if (!store_lock(row))
		return NULL;
	if (GetCurrentTimestamp() >= store_time(row, RECEIPT_EXPIRES_AT))
	{
		*reason = "the receipt has expired";
		return NULL;
	}
	answer = seal_open(receipt_key(receipt), "receipt", store_bytea(row, RECEIPT_ANSWER), &len);
	if (answer == NULL)
		return NULL;
	store_delete(row);
	if (is_overtaken(row))
	{
		*reason = "the client or the grant has been ended meanwhile";
		return NULL;
	}
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(answer)));
}

/* smart.redeem(receipt text) -> jsonb */
Datum
smart_oauth_redeem(PG_FUNCTION_ARGS)
{
	const char *reason;
	Jsonb *answer = redeem(PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0)), &reason);

	if (answer == NULL)
	{
		answer_log("redeem", "invalid_grant", reason, NULL);
		answer = answer_error(400, "invalid_grant", "the receipt is not valid, or no longer");
	}
	/* that the answer is given is as final as that it was made */
	else
		procedure_make_durable();
	PG_RETURN_JSONB_P(answer);
}
