/*
 * src/jose/member.h
 *		The members of a JSON Web Key, read from jsonb.
 */
#ifndef SMART_FHIR_JOSE_MEMBER_H
#define SMART_FHIR_JOSE_MEMBER_H

#include "utils/jsonb.h"

/* Is the member there, whatever its type? One that is null is absent: servers print it so. */
extern bool member_get(JsonbContainer *jwk, const char *name, JsonbValue *value);

/* A member that is a string; false when absent or of another type. */
extern bool member_text(JsonbContainer *jwk, const char *name, JsonbValue *value);

extern bool member_text_is(const JsonbValue *value, const char *text);

#endif /* SMART_FHIR_JOSE_MEMBER_H */
