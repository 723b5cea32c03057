/*
 * src/jose/jwk.h
 *		One JSON Web Key (RFC 7517, RFC 7518 6, RFC 8037), inside the jose layer.
 */
#ifndef SMART_FHIR_JOSE_JWK_H
#define SMART_FHIR_JOSE_JWK_H

#include "utils/jsonb.h"

#include "jose/key.h"

/*
 * Read the key material of one JWK. key is zeroed by the caller, who also owns what is
 * put into it and gives it back with key_free(), whatever the result. False and *error
 * (static text, a sentence) when this is no key that could be used for any signature.
 * with_private: d is read too, and must be there but for oct.
 */
extern bool jwk_read(JsonbContainer *jwk, bool with_private, JoseKey *key, const char **error);

/* Only what the thumbprint needs and the checks of the material. */
extern bool jwk_read_thumbprint(JsonbContainer *jwk, JoseKey *key, const char **error);

/* The member that makes this a private or symmetric key (JK-7, JK-8); NULL: there is none. */
extern const char *jwk_secret_member(JsonbContainer *jwk);

#endif /* SMART_FHIR_JOSE_JWK_H */
