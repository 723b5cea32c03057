/*
 * src/oauth/seal.h
 *		AES-256-GCM over what a table keeps: under smart_fhir.key_file, or under a secret.
 */
#ifndef SMART_FHIR_OAUTH_SEAL_H
#define SMART_FHIR_OAUTH_SEAL_H

#define SEAL_KEY_BYTES 32

/*
 * nonce, ciphertext and tag of data; what context says must be the same when it is opened. The
 * key is used for many values: the nonce is random.
 */
extern bytea *seal(const unsigned char *key, const char *context, const void *data, size_t len);
/* What was sealed, with a NUL behind it; NULL when key, context or bytes are not the same. */
extern char *seal_open(const unsigned char *key, const char *context, const bytea *sealed,
					   size_t *len);

#endif /* SMART_FHIR_OAUTH_SEAL_H */
