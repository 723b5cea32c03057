/*
 * src/jose/jose.h
 *		What the layers above may use of JOSE (RFC 7515, 7517, 7518, 7519, 8037).
 *
 * Nothing here knows of issuers as configured objects, scopes or FHIR. Nothing
 * here raises an error but jose_raise() and the functions that say so.
 * All memory is palloc'd in CurrentMemoryContext unless stated; OpenSSL objects
 * are freed by a reset callback of the context they were made in.
 */
#ifndef SMART_FHIR_JOSE_H
#define SMART_FHIR_JOSE_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#include "compat.h"

/* Limits (design.md; smart-rules JW-8) */
#define JOSE_MAX_TOKEN_BYTES (64 * 1024)
#define JOSE_MAX_KID_BYTES 1024
#define JOSE_MAX_JSON_DEPTH 64
#define JOSE_MAX_JWKS_BYTES (512 * 1024)
#define JOSE_MAX_KEYS 100

/*
 * Why a token is not accepted. JOSE_OK is 0. jose_status_code() gives the stable
 * machine code (constraint name of the error), jose_status_detail() a sentence.
 */
typedef enum JoseStatus
{
	JOSE_OK = 0,
	JOSE_TOO_LARGE,		  /* token_too_large */
	JOSE_MALFORMED,		  /* malformed: parts, base64url, JSON, duplicates, depth, UTF-8 */
	JOSE_HEADER,		  /* header: crit, b64, cty, alg or kid of a wrong type, ... */
	JOSE_ALGORITHM,		  /* algorithm: none, unknown, not in the allowed set */
	JOSE_KEY_NOT_FOUND,	  /* unknown_key: no (or more than one) key fits */
	JOSE_SIGNATURE,		  /* signature */
	JOSE_CLAIM_TYPE,	  /* claim_type: a registered claim of a wrong JSON type or range */
	JOSE_EXPIRED,		  /* token_expired */
	JOSE_NOT_YET_VALID,	  /* token_not_yet_valid (nbf, and iat in the future for login) */
	JOSE_ISSUER,		  /* issuer: iss differs or is missing */
	JOSE_AUDIENCE,		  /* audience */
	JOSE_UNKNOWN_ISSUER,  /* unknown_issuer: from here on raised by the session layer only */
	JOSE_TOKEN_TYPE,	  /* token_type: typ; an ID token */
	JOSE_REQUIRED_CLAIM,  /* required_claim */
	JOSE_LIFETIME,		  /* token_lifetime: exp - iat too long; nbf or iat after exp */
	JOSE_CONFIRMATION,	  /* confirmation: cnf, the token is not a bearer token */
	JOSE_CLIENT,		  /* client: client_id not in the issuer's client_ids */
	JOSE_CONTEXT,		  /* context: contradicting patients */
	JOSE_REVOKED,		  /* token_revoked */
	JOSE_SESSION_CHANGED, /* session_changed */
	JOSE_HELD_CURSOR,	  /* held_cursor (raised as 55000) */
	JOSE_STALE_KEYS		  /* stale_keys: the issuer's keys were fetched too long ago */
} JoseStatus;

#define JOSE_N_STATUS (JOSE_STALE_KEYS + 1)

extern const char *jose_status_code(JoseStatus status);
extern const char *jose_status_detail(JoseStatus status);

/*
 * ereport(ERROR) 28000 "access token is not accepted", DETAIL from the status,
 * schema name "smart", constraint name the code; statement and context hidden.
 */
extern void jose_raise(JoseStatus status) pg_attribute_noreturn();
/* The same with a sentence that says more, and a hint (NULL: none); they hold nothing of a token but names. */
extern void jose_raise_detail(JoseStatus status, const char *detail, const char *hint)
	pg_attribute_noreturn();

/* One bit an algorithm; HS* are in no default set. */
#define JOSE_RS256 0x0001
#define JOSE_RS384 0x0002
#define JOSE_RS512 0x0004
#define JOSE_PS256 0x0008
#define JOSE_PS384 0x0010
#define JOSE_PS512 0x0020
#define JOSE_ES256 0x0040
#define JOSE_ES384 0x0080
#define JOSE_ES512 0x0100
#define JOSE_EDDSA 0x0200
#define JOSE_HS256 0x0400
#define JOSE_HS384 0x0800
#define JOSE_HS512 0x1000
#define JOSE_ASYMMETRIC 0x03FF
#define JOSE_ALL 0x1FFF

/* "RS256" -> bit; 0 when the name is unknown. "Ed25519" is EdDSA (RFC 9864). */
extern uint32 jose_algorithm_by_name(const char *name, size_t len);
extern const char *jose_algorithm_name(uint32 bit);

#define JOSE_THUMBPRINT_LEN 43 /* base64url of SHA-256, without the NUL */

typedef struct JoseKeySet JoseKeySet; /* parsed JWKS; lives in the context it was made in */
typedef struct JoseKey JoseKey;

/*
 * Parse a JWK Set, a bare JWK or an array of JWKs. Keys that cannot be used are
 * left out (RFC 7517 5); members that are null are absent. NULL and *error (a sentence)
 * when the value is no key set at all or exceeds a limit. With public_only a set that
 * holds a private or symmetric key is refused as a whole (JK-7, JK-8).
 */
extern JoseKeySet *jose_keyset_parse(Jsonb *jwks, bool public_only, const char **error);
extern int jose_keyset_size(const JoseKeySet *set); /* usable keys */
extern const JoseKey *jose_keyset_key(const JoseKeySet *set, int i);
/* RFC 7638 thumbprint, NUL-terminated, owned by the key. */
extern const char *jose_key_thumbprint(const JoseKey *key);
extern const char *jose_key_kid(const JoseKey *key); /* NULL when it has none */
extern bool jose_keyset_has_thumbprint(const JoseKeySet *set, const char *thumbprint);

/* What became of one published key. Texts are the set's own members, NULL when absent. */
typedef struct JoseKeyReport
{
	int number; /* its place in the set, from 1 */
	const char *kid;
	const char *kty;
	const char *alg;
	const char *use;
	char thumbprint[JOSE_THUMBPRINT_LEN + 1]; /* empty when the material is of no use */
	uint32 verifies;						  /* algorithms; 0: it cannot be used */
	const char *reason;						  /* why it cannot be used, a sentence; else NULL */
} JoseKeyReport;

/*
 * Every key of the set, equal ones once; NULL and *error when the value is no key set at all. Where
 * jose_keyset_parse() would refuse the set as a whole, each key has this as its reason.
 */
extern JoseKeyReport *jose_keyset_report(Jsonb *jwks, bool public_only, int *n, const char **error);
/* 'key 2 (kid "a")' for a message; palloc'd. */
extern char *jose_key_name(int number, const char *kid);

/* A token taken apart; nothing is verified yet. Pointers are palloc'd or into token. */
typedef struct JwsToken
{
	const char *signing_input;
	size_t signing_input_len;
	Jsonb *header;
	unsigned char *payload;
	size_t payload_len;
	unsigned char *signature;
	size_t signature_len;
	uint32 algorithm; /* one JOSE_* bit */
	const char *kid;  /* NULL when absent */
	const char *typ;  /* NULL when absent */
} JwsToken;

/* Split, decode, check the header (JW-1..9, AL-2, AL-3, AL-9, AL-10). */
extern JoseStatus jws_decode(const char *token, size_t len, JwsToken *out);
/* Choose the one key that fits and verify. *key (may be NULL) gets the key used. */
extern JoseStatus jws_verify(const JwsToken *token, const JoseKeySet *set, uint32 algorithms,
							 const JoseKey **key);
/* After JOSE_KEY_NOT_FOUND: which keys the set has for the token; a sentence without values. */
extern char *jws_key_problem(const JwsToken *token, const JoseKeySet *set);
/* The payload as a JSON object under the same strict rules. */
extern JoseStatus jwt_payload(const JwsToken *token, Jsonb **claims);

/* The rules for token->header; fills algorithm, kid and typ. jws_decode() has done it. */
extern JoseStatus jws_read_header(JwsToken *token);

/*
 * An unverified look at header and payload, either pointer may be NULL: shape and JSON are
 * checked as above, the header's rules are not, so that any token's alg can be seen.
 */
extern JoseStatus jws_peek(const char *token, size_t len, Jsonb **header, Jsonb **payload);

/* Registered time claims, in microseconds, rounded up so that comparisons are exact. */
typedef struct JwtTimes
{
	bool has_exp;
	bool has_nbf;
	bool has_iat;
	TimestampTz exp;
	TimestampTz nbf;
	TimestampTz iat;
} JwtTimes;

extern JoseStatus jwt_times(Jsonb *claims, JwtTimes *out); /* types and ranges (CL-5) */

typedef struct JwtRules
{
	const char *issuer; /* NULL: any */
	int n_audience;
	char *const *audience; /* n_audience = 0: not checked */
	bool exp_required;
	int64 leeway_usecs;
	TimestampTz now;
} JwtRules;

/* The rules one by one: iss is this text; aud, a string or an array of strings, names one of these;
 * exp has come; nbf has not. Without the claim the first two are false, and so are the others. */
extern bool jwt_issuer_fits(Jsonb *claims, const char *issuer);
extern bool jwt_audience_fits(Jsonb *claims, int n, char *const *audience);
extern bool jwt_is_expired(const JwtTimes *times, TimestampTz now, int64 leeway_usecs);
extern bool jwt_is_early(const JwtTimes *times, TimestampTz now, int64 leeway_usecs);

/* iss, aud, exp, nbf; *times (may be NULL) is filled. (CL-2, CL-3, CL-5 to CL-7) */
extern JoseStatus jwt_check_claims(Jsonb *claims, const JwtRules *rules, JwtTimes *times);

/*
 * Is this text JSON that jsonb takes without an error: valid UTF-8, depth at most
 * max_depth, no \u0000, no lone surrogate, numbers that numeric holds? With
 * unique_members also no member twice in one object, at any depth.
 */
extern bool json_text_is_valid(const char *text, size_t len, int max_depth, bool unique_members);

/*
 * A private key or a secret, parsed and kept under a name: any bytes that stand for this key and
 * nothing else, as the key itself or the sealed form in which it is stored. find: NULL when it is
 * not there (any more). add: NULL and *error (static text, a sentence) for a key that cannot sign.
 * Valid until the next call of jose_signer_add() or jose_sign_jwt().
 */
extern JoseKey *jose_signer_find(const void *name, size_t len);
extern JoseKey *jose_signer_add(const void *name, size_t len, Jsonb *jwk, const char **error);

/*
 * A compact JWT of a payload that is there as text, a JSON object: no jsonb is made but at the first
 * use of the key. The header is alg, typ and, when the key has one, kid; algorithm is
 * one bit or 0 for the key's own. Otherwise as jose_sign_jwt().
 */
extern char *jose_sign_text(JoseKey *signer, uint32 algorithm, const char *typ, const char *payload,
							int *sqlstate, const char **error);

/*
 * Make a compact JWT; palloc'd text. jwk is a private key or a secret; header may be NULL,
 * its members win over the defaults alg, typ and kid. At a key's first use with an algorithm the
 * result has been verified with it. NULL, *sqlstate (22P02 for a malformed key, 22023, 54000) and *error (static
 * text, a sentence) when it cannot be made.
 */
extern char *jose_sign_jwt(Jsonb *payload, Jsonb *jwk, Jsonb *header, int *sqlstate,
						   const char **error);

#endif /* SMART_FHIR_JOSE_H */
