/*
 * src/jose/to_jsonb.h
 *		The jsonb value of a JSON object that json_check() has let through.
 */
#ifndef SMART_FHIR_JOSE_TO_JSONB_H
#define SMART_FHIR_JOSE_TO_JSONB_H

#include "utils/jsonb.h"

#include "compat.h"

/*
 * What jsonb_in() makes of it, byte for byte; NULL when the text is no object. It nests no deeper than
 * JOSE_MAX_JSON_DEPTH, and a NUL stands behind its len bytes.
 */
extern Jsonb *json_object_to_jsonb(const char *text, size_t len);

#endif /* SMART_FHIR_JOSE_TO_JSONB_H */
