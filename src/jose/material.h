/*
 * src/jose/material.h
 *		The numbers of a JSON Web Key, checked, as OpenSSL keys; inside the jose layer.
 */
#ifndef SMART_FHIR_JOSE_MATERIAL_H
#define SMART_FHIR_JOSE_MATERIAL_H

#include "utils/jsonb.h"

#include "jose/key.h"

/*
 * Fill type, size, suits and pkey (oct: secret). NULL, or why the key is refused (static
 * text); then OpenSSL's error queue may hold something. with_private: d is read too.
 */
extern const char *material_read_rsa(JsonbContainer *jwk, bool with_private, JoseKey *key);
extern const char *material_read_ec(JsonbContainer *jwk, bool with_private, JoseKey *key);
extern const char *material_read_okp(JsonbContainer *jwk, bool with_private, JoseKey *key);
extern const char *material_read_oct(JsonbContainer *jwk, JoseKey *key);

#endif /* SMART_FHIR_JOSE_MATERIAL_H */
