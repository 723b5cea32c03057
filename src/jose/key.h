/*
 * src/jose/key.h
 *		A key as the layer holds it: what it may do, and its OpenSSL object.
 *
 * Knows nothing of JSON: src/jose/jwk.c makes one of a JSON Web Key.
 */
#ifndef SMART_FHIR_JOSE_KEY_H
#define SMART_FHIR_JOSE_KEY_H

#include <openssl/evp.h>

#include "jose/alg.h"

/* RFC 7518 3.3, 3.5 want 2048; more than 8192 is a way to burn our time. */
#define JOSE_RSA_MIN_BITS 2048
#define JOSE_RSA_MAX_BITS 8192
/* An exponent beyond this is legal and has no use but to be slow. */
#define JOSE_RSA_MAX_EXPONENT_BYTES 32

struct JoseKey
{
	JoseKeyType type;
	int size;			   /* bytes: RSA modulus, EC coordinate, OKP key, oct secret */
	uint32 suits;		   /* algorithms that type, curve and size allow */
	uint32 verifies;	   /* of these, what use, key_ops and alg let it verify */
	uint32 signs;		   /* the same for signing; 0 for a public key */
	const char *no_verify; /* why verifies is 0, a sentence; else NULL */
	uint32 alg;			   /* bit of the member alg, 0 when it has none that is known */
	char *kid;			   /* NULL when absent */
	char thumbprint[JOSE_THUMBPRINT_LEN + 1];
	EVP_PKEY *pkey;		   /* NULL for oct */
	unsigned char *secret; /* oct only */
	/* contexts ready to verify with, made at first use; see evp_verify() */
	EVP_PKEY_CTX *verify_ctx[JOSE_N_ALGORITHMS];
	EVP_PKEY_CTX *sign_ctx[JOSE_N_ALGORITHMS]; /* the same for signing */
	uint32 proved; /* algorithms with which this private key has made a signature that fits */
};

/* A zeroed key in CurrentMemoryContext that is freed with it. */
extern JoseKey *key_make(void);

/* Give back what OpenSSL holds and clear the secret; the struct itself is the caller's. */
extern void key_free(JoseKey *key);

#endif /* SMART_FHIR_JOSE_KEY_H */
