/*
 * src/jose/cache.h
 *		Parsed key sets by their jsonb value, bounded, one cache a backend.
 */
#ifndef SMART_FHIR_JOSE_CACHE_H
#define SMART_FHIR_JOSE_CACHE_H

#include "jose/jose.h"

/*
 * jose_keyset_parse(jwks, false), kept for the next call with an equal value. NULL and *error (a sentence) when it
 * is no key set. The result is valid until the next call or the end of the current
 * memory context, whichever comes first.
 */
extern const JoseKeySet *keyset_cache_get(Jsonb *jwks, const char **error);

#endif /* SMART_FHIR_JOSE_CACHE_H */
