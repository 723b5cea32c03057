/*
 * src/oauth/device_authorization.c
 *		smart.device_authorization(): the endpoint at which a device asks for a device code (RFC 8628 3.1).
 */
#include "postgres.h"

#include "fmgr.h"

#include "compat.h"
#include "oauth/authenticate.h"
#include "oauth/authorization.h"
#include "oauth/device.h"
#include "oauth/endpoint.h"
#include "oauth/procedures.h"
#include "oauth/request.h"

PG_FUNCTION_INFO_V1(smart_oauth_device_authorization);

static bool
device_authorization(const Jsonb *request, const Jsonb *headers, Outcome *outcome)
{
	ClientCredentials credentials;
	AuthorizationRequest asked;
	const OauthClient *client;
	char *scope;

	if (!endpoint_check_form(request, headers, outcome))
		return false;
	if (!device_is_offered())
		return outcome_refuse(outcome,
							  400,
							  "unsupported_grant_type",
							  "device codes are not offered",
							  "no device_verification_uri");
	if (!endpoint_check_parameters(request, outcome) ||
		!credentials_read(request, headers, &credentials, outcome))
		return false;
	client =
		authenticate(&credentials, configuration_get()->device_authorization_endpoint, outcome);
	if (client == NULL)
		return false;
	if (!client->may_device)
		return outcome_refuse(outcome,
							  400,
							  "unauthorized_client",
							  "the client may not use this grant type",
							  "grant type device_code");
	scope = request_parameter(request, "scope");
	if (!authorization_read_device(client,
								   scope,
								   request_parameter(request, "aud"),
								   request_parameter(request, "resource"),
								   &asked))
		return outcome_refuse(outcome, 400, asked.error, asked.description, asked.description);
	outcome->status = 200;
	outcome->body = device_add(&asked, scope);
	return true;
}

/* smart.device_authorization(request jsonb, headers jsonb) -> jsonb */
Datum
smart_oauth_device_authorization(PG_FUNCTION_ARGS)
{
	Outcome outcome = {.endpoint = "device authorization"};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(
			ERROR,
			errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			errmsg("parameter \"%s\" must not be null", PG_ARGISNULL(0) ? "request" : "headers"),
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "invalid_parameter"));
	(void) device_authorization(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1), &outcome);
	/* the jti of an assertion is burnt for good */
	procedure_make_durable();
	PG_RETURN_JSONB_P(outcome_answer(&outcome));
}
