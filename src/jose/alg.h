/*
 * src/jose/alg.h
 *		The signature algorithms of RFC 7518 3 and RFC 8037, one row each.
 */
#ifndef SMART_FHIR_JOSE_ALG_H
#define SMART_FHIR_JOSE_ALG_H

#include "jose/jose.h"

typedef enum JoseKeyType
{
	JOSE_KEY_RSA,
	JOSE_KEY_EC,
	JOSE_KEY_OKP,
	JOSE_KEY_OCT
} JoseKeyType;

typedef enum JoseDigest
{
	JOSE_SHA256,
	JOSE_SHA384,
	JOSE_SHA512,
	JOSE_NO_DIGEST /* the algorithm hashes itself */
} JoseDigest;

typedef struct JoseAlgorithm
{
	const char *name;
	uint32 bit;
	JoseKeyType key_type;
	int field_bytes; /* EC: width of one coordinate; else 0 */
	JoseDigest digest;
	int hash_bytes; /* PSS: also the salt; HMAC: also the least key */
	bool is_pss;
} JoseAlgorithm;

#define JOSE_N_ALGORITHMS 13

/* Row i belongs to the bit 1 << i. */
extern const JoseAlgorithm jose_algorithms[JOSE_N_ALGORITHMS];

/* Index of a single bit in the table. */
extern int jose_algorithm_index(uint32 bit);

#endif /* SMART_FHIR_JOSE_ALG_H */
