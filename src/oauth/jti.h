/*
 * src/oauth/jti.h
 *		Ids of JWTs that were used: each is good once.
 */
#ifndef SMART_FHIR_OAUTH_JTI_H
#define SMART_FHIR_OAUTH_JTI_H

#include "datatype/timestamp.h"

/*
 * Burn a jti of this issuer, until then. False when it was used before; of transactions that try
 * at once, one gets it as soon as it has committed, and the others wait for that. use tells
 * "client" (assertions) from "cds".
 */
extern bool jti_burn(const char *use, const char *issuer, const char *jti, TimestampTz until);

#endif /* SMART_FHIR_OAUTH_JTI_H */
