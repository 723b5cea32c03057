/*
 * src/jose/jwk.h
 *		One JSON Web Key (RFC 7517, RFC 7518 6, RFC 8037), inside the jose layer.
 */
#ifndef SMART_FHIR_JOSE_JWK_H
#define SMART_FHIR_JOSE_JWK_H

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
	int size;		 /* bytes: RSA modulus, EC coordinate, OKP key, oct secret */
	uint32 suits;	 /* algorithms that type, curve and size allow */
	uint32 verifies; /* of these, what use, key_ops and alg let it verify */
	uint32 signs;	 /* the same for signing; 0 for a public key */
	uint32 alg;		 /* bit of the member alg, 0 when it has none that is known */
	char *kid;		 /* NULL when absent */
	char thumbprint[JOSE_THUMBPRINT_LEN + 1];
	EVP_PKEY *pkey;		   /* NULL for oct */
	unsigned char *secret; /* oct only */
	/* contexts ready to verify with, made at first use; see evp_verify() */
	EVP_PKEY_CTX *verify_ctx[JOSE_N_ALGORITHMS];
};

/*
 * Read the key material of one JWK. key is zeroed by the caller, who also owns what is
 * put into it and gives it back with jwk_free(), whatever the result. False and *error
 * (static text, a sentence) when this is no key that could be used for any signature.
 * with_private: d is read too, and must be there but for oct.
 */
extern bool jwk_read(JsonbContainer *jwk, bool with_private, JoseKey *key, const char **error);

/* Only what the thumbprint needs and the checks of the material. */
extern bool jwk_read_thumbprint(JsonbContainer *jwk, JoseKey *key, const char **error);

extern void jwk_free(JoseKey *key);

/* Does this value hold private or secret material (JK-7, JK-8)? */
extern bool jwk_is_secret(JsonbContainer *jwk);

/* A member that is a string; false when absent or of another type. */
extern bool jwk_member(JsonbContainer *jwk, const char *name, JsonbValue *value);

extern bool jwk_text_is(const JsonbValue *value, const char *text);

/* A key in CurrentMemoryContext that is freed with it. */
extern JoseKey *jwk_make(void);

#endif /* SMART_FHIR_JOSE_JWK_H */
