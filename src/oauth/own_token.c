/*
 * src/oauth/own_token.c
 *		Access tokens of this issuer, presented to it. The rules are the session layer's. A token that was
 *		verified is not verified again while its issuer's row stays; time and revocation are looked at
 *		each time.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "oauth/configuration.h"
#include "oauth/json.h"
#include "oauth/own_token.h"
#include "oauth/request.h"
#include "session/revocation.h"
#include "session/session.h"
#include "session/verify.h"

/* Tokens that this backend has verified, by their SHA-256: a resource server shows its bearer each time. */
#define KEPT_TOKENS 64
#define KEPT_MAX_BYTES (16 * 1024)

typedef struct KeptToken
{
	MemoryContext context; /* owns the token; NULL: the entry is free */
	unsigned char digest[SESSION_DIGEST_LENGTH];
	OwnToken *token;
	TimestampTz not_before;
	TimestampTz refuse_after; /* the keys are stale from then on */
	uint64 issuer_epoch;
	uint64 unrevoked_at; /* revocation_epoch() when it was last seen not to be revoked */
	uint64 last_use;
} KeptToken;

static KeptToken kept[KEPT_TOKENS];
static uint64 use_counter;

/* Somebody up the stack may still hold the token. */
static void
drop_kept(KeptToken *entry)
{
	if (entry->context != NULL)
		MemoryContextSetParent(entry->context, TopTransactionContext);
	memset(entry, 0, sizeof(*entry));
}

static bool
is_revoked(const OwnToken *token)
{
	RevocationToken revocation = {.issuer = configuration_get()->issuer,
								  .jti = token->jti,
								  .client_id = token->client_id,
								  .subject = json_text(token->claims, "sub"),
								  .grant_id = token->grant_id,
								  .claims = token->claims};

	return revocation_meets_token(&revocation);
}

/* Verify it, and make the entry for it, in CurrentMemoryContext. */
static bool
verify(const char *jwt, KeptToken *entry)
{
	SessionSource source = {0};
	SessionFinding finding;
	OwnToken *token = palloc0(sizeof(OwnToken));
	volatile bool verified = false;

	issuer_hold();
	PG_TRY();
	{
		entry->issuer_epoch = issuer_epoch();
		verified = session_verify_token(jwt, strlen(jwt), &source, &finding) &&
				   strcmp(source.issuer->issuer, configuration_get()->issuer) == 0;
		if (verified)
		{
			entry->refuse_after = source.issuer->refuse_after;
			entry->not_before = Max(source.times.has_nbf ? source.times.nbf : 0,
									source.times.has_iat ? source.times.iat : 0) -
								source.issuer->leeway_usecs;
		}
	}
	PG_FINALLY();
	{
		issuer_release();
	}
	PG_END_TRY();
	if (!verified)
		return false;
	token->claims = source.claims;
	token->client_id = json_text(source.claims, "client_id");
	token->jti = json_text(source.claims, "jti");
	token->scope = json_text(source.claims, "scope");
	token->grant_id = json_text(source.claims, "grant_id");
	token->expires_at = source.times.exp;
	entry->token = token;
	return token->client_id != NULL && token->jti != NULL && token->scope != NULL &&
		   token->grant_id != NULL;
}

static KeptToken *
find_kept(const unsigned char *digest)
{
	if (session_cache_size() == 0)
		return NULL;
	for (int i = 0; i < KEPT_TOKENS; i++)
		if (kept[i].context != NULL && memcmp(kept[i].digest, digest, SESSION_DIGEST_LENGTH) == 0)
		{
			TimestampTz now = GetCurrentTimestamp();

			if (kept[i].issuer_epoch == issuer_epoch() && now < kept[i].refuse_after &&
				now >= kept[i].not_before)
				return &kept[i];
			drop_kept(&kept[i]);
		}
	return NULL;
}

/* A verified one with its context, over the one that was used longest ago. */
static KeptToken *
keep(const KeptToken *made)
{
	KeptToken *entry = &kept[0];

	for (int i = 1; i < KEPT_TOKENS; i++)
		if (kept[i].last_use < entry->last_use)
			entry = &kept[i];
	drop_kept(entry);
	MemoryContextSetParent(made->context, CacheMemoryContext);
	*entry = *made;
	return entry;
}

/* What jwt says, verified now or before; NULL when it is not a token of this issuer. */
static KeptToken *
verified_token(const char *jwt)
{
	KeptToken *made = palloc0(sizeof(KeptToken));
	KeptToken *entry;
	MemoryContext old;
	bool verified;

	session_digest(jwt, strlen(jwt), made->digest);
	entry = find_kept(made->digest);
	if (entry != NULL)
		return entry;
	/* made in a context of the caller's: an error half way leaves nothing */
	made->context =
		AllocSetContextCreate(CurrentMemoryContext, "smart_fhir own token", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(made->context);
	verified = verify(jwt, made);
	MemoryContextSwitchTo(old);
	if (!verified)
	{
		MemoryContextDelete(made->context);
		return NULL;
	}
	made->unrevoked_at = revocation_epoch();
	if (is_revoked(made->token))
		return NULL;
	return strlen(jwt) > KEPT_MAX_BYTES || session_cache_size() == 0 ? made : keep(made);
}

bool
own_token_read(const char *jwt, OwnToken *token)
{
	KeptToken *entry = verified_token(jwt);
	uint64 unrevoked_at;

	if (entry == NULL || GetCurrentTimestamp() >= entry->token->expires_at ||
		strcmp(json_text(entry->token->claims, "iss"), configuration_get()->issuer) != 0)
		return false;
	unrevoked_at = revocation_epoch();
	if (entry->unrevoked_at != unrevoked_at)
	{
		if (is_revoked(entry->token))
			return false;
		entry->unrevoked_at = unrevoked_at;
	}
	entry->last_use = ++use_counter;
	*token = *entry->token;
	return true;
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
