/*
 * src/oauth/approve.c
 *		smart.approve(): what the person said becomes a grant and a code.
 *
 * The handle of the launch is spent with every redirect to its client, in the caller's
 * transaction: a ROLLBACK takes code and burn together.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "oauth/answer.h"
#include "oauth/approval.h"
#include "oauth/authorization.h"
#include "oauth/grant.h"
#include "oauth/secret.h"

PG_FUNCTION_INFO_V1(smart_oauth_approve);

static char *
add_code(const AuthorizationRequest *request, const char *grant_id)
{
	StoreRow *row = store_row(STORE_CODE);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz expires_at = now + request->configuration->code_lifetime * USECS_PER_SEC;
	char *code = secret_make();

	store_set(row, CODE_HASH, PointerGetDatum(secret_hash(code, strlen(code))));
	store_set_text(row, CODE_GRANT_ID, grant_id);
	store_set_text(row, CODE_CLIENT_ID, request->client->client_id);
	store_set_text(row, CODE_REDIRECT_URI, request->redirect_uri);
	store_set_text(row, CODE_CODE_CHALLENGE, request->code_challenge);
	store_set_text(row, CODE_NONCE, request->nonce);
	store_set(row, CODE_MADE_AT, TimestampTzGetDatum(now));
	store_set(row, CODE_EXPIRES_AT, TimestampTzGetDatum(expires_at));
	store_set(row, CODE_KEPT_UNTIL, TimestampTzGetDatum(expires_at + GRANT_CODE_KEPT));
	store_insert(row);
	return code;
}

/* False when somebody else has spent it. */
static bool
spend_launch(const AuthorizationRequest *request)
{
	if (request->launch == NULL)
		return true;
	if (!store_lock(request->launch))
		return false;
	store_delete(request->launch);
	return true;
}

static Jsonb *
refuse(const AuthorizationRequest *request, const char *error, const char *description)
{
	(void) spend_launch(request);
	return authorization_redirect_error(303, request, error, description);
}

static Jsonb *
approve(const Jsonb *request_json, const Jsonb *approval_json)
{
	AuthorizationRequest request;
	Approval approval;
	Settled settled;
	const char *denial;

	/* an approval that is wrong is the front end's mistake, whatever the request is */
	approval_read(approval_json, &approval);
	if (!authorization_read(request_json, &request))
	{
		authorization_log(&request);
		if (request.client == NULL)
			return authorization_shown(request.error, request.description);
		return refuse(&request, request.error, request.description);
	}
	denial = approval_settle(approval_json, &request, &approval, &settled);
	if (denial != NULL)
		return refuse(&request, "access_denied", denial);
	if (!spend_launch(&request))
		return authorization_redirect_error(
			303, &request, "invalid_request", "launch is unknown, expired or used");
	return authorization_redirect_code(
		303, &request, add_code(&request, approval_add_grant(&request, &approval, &settled)));
}

/* smart.approve(request jsonb, approval jsonb) -> jsonb */
Datum
smart_oauth_approve(PG_FUNCTION_ARGS)
{
	Jsonb *answer;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("%s must not be null", PG_ARGISNULL(0) ? "request" : "approval"));
	if (!JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(1)))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid value for parameter \"%s\"", "approval"),
				errdetail("It must be a JSON object."));
	answer = approve(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1));
	store_clean_sometimes(STORE_LAUNCH);
	store_clean_sometimes(STORE_CODE);
	grant_clean_sometimes();
	PG_RETURN_JSONB_P(answer);
}
