/*
 * src/session/validator.h
 *		The OAuth validator of PostgreSQL 18 and later.
 */
#ifndef SMART_FHIR_SESSION_VALIDATOR_H
#define SMART_FHIR_SESSION_VALIDATOR_H

/* Defines smart_fhir.oauth_keys where the server has OAuth. */
extern void validator_init(void);

#endif /* SMART_FHIR_SESSION_VALIDATOR_H */
