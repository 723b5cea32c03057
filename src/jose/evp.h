/*
 * src/jose/evp.h
 *		Signatures and digests with OpenSSL's EVP interface; the only file beside
 *		src/jose/key.c and src/jose/libjwt.c that calls OpenSSL. Raises nothing but out of memory.
 */
#ifndef SMART_FHIR_JOSE_EVP_H
#define SMART_FHIR_JOSE_EVP_H

#include "jose/key.h"

#define JOSE_MAX_HASH_BYTES 64
/* RSA of 8192 bits makes the longest signature. */
#define JOSE_MAX_SIGNATURE_BYTES 1024

/* Digest of data; false when OpenSSL fails. out has room for JOSE_MAX_HASH_BYTES. */
extern bool evp_digest(JoseDigest digest, const void *data, size_t len, unsigned char *out);

/*
 * Does the signature fit? The caller has made sure that the key's type and curve suit
 * the algorithm. The OpenSSL error queue is empty afterwards.
 */
extern bool evp_verify(const JoseKey *key, const JoseAlgorithm *alg, const char *input,
					   size_t input_len, const unsigned char *signature, size_t signature_len);

/* Sign with a private key, in the form that JWS wants; false when OpenSSL fails. */
extern bool evp_sign(const JoseKey *key, const JoseAlgorithm *alg, const char *input,
					 size_t input_len, unsigned char *signature, size_t *signature_len);

#endif /* SMART_FHIR_JOSE_EVP_H */
