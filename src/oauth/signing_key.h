/*
 * src/oauth/signing_key.h
 *		The keys that sign tokens: making, storing, choosing.
 */
#ifndef SMART_FHIR_OAUTH_SIGNING_KEY_H
#define SMART_FHIR_OAUTH_SIGNING_KEY_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "oauth/store.h"

typedef struct SigningKey
{
	char *kid;
	char *algorithm;
	Jsonb *public_jwk; /* with kid, use and alg */
	TimestampTz signs_from;
	TimestampTz retired_at; /* DT_NOEND: not retired */
} SigningKey;

/* The latest that signs now, whatever its algorithm; NULL when there is none. Good until the end of the transaction. */
extern const SigningKey *signing_key_latest(void);
/* The latest of this algorithm. */
extern const SigningKey *signing_key_latest_of(const char *algorithm);
/*
 * Its private JWK, opened; NULL when the key has just been dropped; raises 55000 when it is sealed and smart_fhir.key_file is not what it was.
 */
extern Jsonb *signing_key_private(const SigningKey *key);
/* {"keys": [...]}: all that are published, as they verify tokens. */
extern Jsonb *signing_key_jwks(void);
/* The algorithms with which an ID token can be signed now, without repeats. */
extern List *signing_key_algorithms(void);

#endif /* SMART_FHIR_OAUTH_SIGNING_KEY_H */
