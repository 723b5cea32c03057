/*
 * src/jose/alg.c
 *		The signature algorithms of RFC 7518 3 and RFC 8037, one row each.
 *
 * "none" has no row, so no code path can reach it. Knows nothing of keys or tokens.
 */
#include "postgres.h"

#include "jose/alg.h"

const JoseAlgorithm jose_algorithms[JOSE_N_ALGORITHMS] = {
	{"RS256", JOSE_RS256, JOSE_KEY_RSA, 0, JOSE_SHA256, 32, false},
	{"RS384", JOSE_RS384, JOSE_KEY_RSA, 0, JOSE_SHA384, 48, false},
	{"RS512", JOSE_RS512, JOSE_KEY_RSA, 0, JOSE_SHA512, 64, false},
	{"PS256", JOSE_PS256, JOSE_KEY_RSA, 0, JOSE_SHA256, 32, true},
	{"PS384", JOSE_PS384, JOSE_KEY_RSA, 0, JOSE_SHA384, 48, true},
	{"PS512", JOSE_PS512, JOSE_KEY_RSA, 0, JOSE_SHA512, 64, true},
	{"ES256", JOSE_ES256, JOSE_KEY_EC, 32, JOSE_SHA256, 32, false},
	{"ES384", JOSE_ES384, JOSE_KEY_EC, 48, JOSE_SHA384, 48, false},
	{"ES512", JOSE_ES512, JOSE_KEY_EC, 66, JOSE_SHA512, 64, false},
	{"EdDSA", JOSE_EDDSA, JOSE_KEY_OKP, 0, JOSE_NO_DIGEST, 0, false},
	{"HS256", JOSE_HS256, JOSE_KEY_OCT, 0, JOSE_SHA256, 32, false},
	{"HS384", JOSE_HS384, JOSE_KEY_OCT, 0, JOSE_SHA384, 48, false},
	{"HS512", JOSE_HS512, JOSE_KEY_OCT, 0, JOSE_SHA512, 64, false},
};

uint32
jose_algorithm_by_name(const char *name, size_t len)
{
	for (int i = 0; i < JOSE_N_ALGORITHMS; i++)
	{
		const char *known = jose_algorithms[i].name;

		if (strlen(known) == len && memcmp(known, name, len) == 0)
			return jose_algorithms[i].bit;
	}
	/* the fully specified name of RFC 9864 */
	if (len == strlen("Ed25519") && memcmp(name, "Ed25519", len) == 0)
		return JOSE_EDDSA;
	return 0;
}

const char *
jose_algorithm_name(uint32 bit)
{
	int i = jose_algorithm_index(bit);

	return i < 0 ? NULL : jose_algorithms[i].name;
}

int
jose_algorithm_index(uint32 bit)
{
	for (int i = 0; i < JOSE_N_ALGORITHMS; i++)
	{
		if (jose_algorithms[i].bit == bit)
			return i;
	}
	return -1;
}
