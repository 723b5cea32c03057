/*
 * src/oauth/secret.h
 *		Secrets of the authorization server: random, stored as hashes, compared in constant time.
 */
#ifndef SMART_FHIR_OAUTH_SECRET_H
#define SMART_FHIR_OAUTH_SECRET_H

#define SECRET_PREFIX "smart_"
#define SECRET_HASH_BYTES 32

/* 256 random bits: "smart_" and 43 characters of base64url. Raises when there is no randomness. */
extern char *secret_make(void);
/* A name for something that is no secret: 22 characters of base64url, 128 random bits. */
extern char *secret_make_id(void);
/* SHA-256; what the tables keep. */
extern bytea *secret_hash(const char *secret, size_t len);
/* Random bytes; raises when there are none. */
extern void secret_random(void *out, size_t len);
/* Does it look like what secret_make() makes? Anything else is in no table. */
extern bool secret_has_shape(const char *secret);
/* Same bytes, in a time that depends on len alone. */
extern bool secret_equal(const void *a, const void *b, size_t len);
/* The same for stored hashes. */
extern bool secret_hash_equal(const bytea *a, const bytea *b);
/* Overwrite what is no longer needed. */
extern void secret_wipe(void *secret, size_t len);

#endif /* SMART_FHIR_OAUTH_SECRET_H */
