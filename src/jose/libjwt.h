/*
 * src/jose/libjwt.h
 *		Signing with libjwt, where this server can use it.
 */
#ifndef SMART_FHIR_JOSE_LIBJWT_H
#define SMART_FHIR_JOSE_LIBJWT_H

#include "jose/key.h"

/*
 * A compact token of these two JSON objects, palloc'd; NULL when there is no libjwt or it
 * cannot. The caller checks the token: libjwt keeps numbers as C longs and doubles.
 */
extern char *libjwt_sign(const JoseKey *key, const JoseAlgorithm *alg, const char *header,
						 const char *payload);

#endif /* SMART_FHIR_JOSE_LIBJWT_H */
