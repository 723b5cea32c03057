/*
 * src/oauth/keygen.h
 *		New key pairs as JSON Web Keys (RFC 7518 6, RFC 8037 2).
 */
#ifndef SMART_FHIR_OAUTH_KEYGEN_H
#define SMART_FHIR_OAUTH_KEYGEN_H

#include "utils/jsonb.h"

typedef struct NewKey
{
	char *kid;			/* RFC 7638 thumbprint */
	Jsonb *public_jwk;	/* with kid, use and alg */
	char *private_text; /* the private JWK as JSON; the caller wipes it */
	size_t private_len;
} NewKey;

/* RS256, RS384 (2048 bits), ES256, ES384, EdDSA (Ed25519); false for another name. */
extern bool keygen(const char *algorithm, NewKey *key);

#endif /* SMART_FHIR_OAUTH_KEYGEN_H */
