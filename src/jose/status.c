/*
 * src/jose/status.c
 *		Why a token is not accepted: codes for programs, sentences for people, one error.
 *
 * The whole list is here so that it can be read, tested and documented in one place.
 * The texts never hold anything of the token.
 */
#include "postgres.h"

#include "jose/jose.h"

typedef struct StatusText
{
	JoseStatus status;
	const char *code;
	const char *detail;
} StatusText;

static const StatusText texts[] = {
	{JOSE_OK, "ok", "The token is accepted."},
	{JOSE_TOO_LARGE, "token_too_large", "The token is larger than 64 KiB."},
	{JOSE_MALFORMED,
	 "malformed",
	 "The token is not a compact JWS of three base64url parts with well-formed JSON."},
	{JOSE_HEADER, "header", "The token's header has a member that is not supported or malformed."},
	{JOSE_ALGORITHM, "algorithm", "The token's signature algorithm is not allowed."},
	{JOSE_KEY_NOT_FOUND, "unknown_key", "Not exactly one key fits the token."},
	{JOSE_SIGNATURE, "signature", "The token's signature does not fit."},
	{JOSE_CLAIM_TYPE, "claim_type", "A registered claim has the wrong type or is out of range."},
	{JOSE_EXPIRED, "token_expired", "The token has expired, or it has no expiration time."},
	{JOSE_NOT_YET_VALID, "token_not_yet_valid", "The token is not valid yet."},
	{JOSE_ISSUER, "issuer", "The token's issuer is missing or not the expected one."},
	{JOSE_AUDIENCE, "audience", "The token is not meant for this audience."},
	{JOSE_UNKNOWN_ISSUER, "unknown_issuer", "The token's issuer is not known here."},
	{JOSE_TOKEN_TYPE, "token_type", "The token is not of an accepted type."},
	{JOSE_REQUIRED_CLAIM, "required_claim", "The token lacks a required claim."},
	{JOSE_LIFETIME, "token_lifetime", "The token's lifetime is too long or contradicts itself."},
	{JOSE_CONFIRMATION,
	 "confirmation",
	 "The token is bound to a key of its holder and is not a bearer token."},
	{JOSE_CLIENT, "client", "The token was issued to a client that is not accepted."},
	{JOSE_CONTEXT, "context", "The token's context contradicts itself."},
	{JOSE_REVOKED, "token_revoked", "The token has been revoked."},
	{JOSE_SESSION_CHANGED,
	 "session_changed",
	 "The session is not the one that the cursor or plan belongs to."},
	{JOSE_STALE_KEYS, "stale_keys", "The issuer's keys were fetched too long ago."},
	{JOSE_HELD_CURSOR,
	 "held_cursor",
	 "A cursor WITH HOLD is open; its stored rows belong to an earlier session."},
};

static const StatusText *
find_text(JoseStatus status)
{
	for (size_t i = 0; i < lengthof(texts); i++)
	{
		if (texts[i].status == status)
			return &texts[i];
	}
	elog(ERROR, "unknown token status %d", (int) status);
}

const char *
jose_status_code(JoseStatus status)
{
	return find_text(status)->code;
}

const char *
jose_status_detail(JoseStatus status)
{
	return find_text(status)->detail;
}

void
jose_raise(JoseStatus status)
{
	jose_raise_detail(status, jose_status_detail(status), NULL);
}

void
jose_raise_detail(JoseStatus status, const char *detail, const char *hint)
{
	const StatusText *text = find_text(status);

	if (status == JOSE_HELD_CURSOR)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("cannot log in while a cursor WITH HOLD is open"),
				errdetail("%s", detail),
				errhint("Close it, or use DISCARD ALL when a connection goes back to its pool."),
				err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
				err_generic_string(PG_DIAG_CONSTRAINT_NAME, text->code),
				errhidestmt(true),
				errhidecontext(true));
	ereport(ERROR,
			errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			errmsg("access token is not accepted"),
			errdetail("%s", detail),
			hint != NULL ? errhint("%s", hint) : 0,
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, text->code),
			errhidestmt(true),
			errhidecontext(true));
}
