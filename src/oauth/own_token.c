/*
 * src/oauth/own_token.c
 *		Access tokens of this issuer, presented to it. The rules are the session layer's.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "compat.h"
#include "oauth/configuration.h"
#include "oauth/json.h"
#include "oauth/own_token.h"
#include "oauth/request.h"
#include "session/revocation.h"
#include "session/session.h"
#include "session/verify.h"

static bool
verify(const char *jwt, SessionSource *source)
{
	SessionFinding finding;
	volatile bool verified = false;

	memset(source, 0, sizeof(*source));
	issuer_hold();
	PG_TRY();
	{
		verified = session_verify_token(jwt, strlen(jwt), source, &finding) &&
				   strcmp(source->issuer->issuer, configuration_get()->issuer) == 0;
	}
	PG_FINALLY();
	{
		issuer_release();
	}
	PG_END_TRY();
	return verified;
}

bool
own_token_read(const char *jwt, OwnToken *token)
{
	SessionSource source;
	RevocationToken revocation;

	if (!verify(jwt, &source))
		return false;
	token->claims = source.claims;
	token->client_id = json_text(source.claims, "client_id");
	token->jti = json_text(source.claims, "jti");
	token->scope = json_text(source.claims, "scope");
	token->grant_id = json_text(source.claims, "grant_id");
	token->expires_at = source.times.exp;
	if (token->client_id == NULL || token->jti == NULL || token->scope == NULL ||
		token->grant_id == NULL || GetCurrentTimestamp() >= token->expires_at)
		return false;
	revocation.issuer = configuration_get()->issuer;
	revocation.jti = token->jti;
	revocation.client_id = token->client_id;
	revocation.subject = json_text(source.claims, "sub");
	revocation.grant_id = token->grant_id;
	revocation.claims = source.claims;
	return !revocation_meets_token(&revocation);
}

bool
own_token_of_bearer(const Jsonb *headers, OwnToken *token, Outcome *outcome)
{
	char *header = request_header(headers, "authorization");
	char *bearer = request_headers_fit(headers) ? request_bearer(headers) : NULL;

	if (bearer != NULL && own_token_read(bearer, token))
		return true;
	/* RFC 6750 3.1: no error code for who sent nothing at all */
	outcome->challenge = header == NULL ? "Bearer realm=\"smart\""
										: "Bearer realm=\"smart\", error=\"invalid_token\"";
	return outcome_refuse(outcome,
						  401,
						  "invalid_token",
						  "the access token is missing, malformed, expired or revoked",
						  "bearer token");
}
