/*
 * src/jose/b64.h
 *		Strict base64url (RFC 4648 5, RFC 7515 2) and the split of a compact JWS.
 *
 * Pure: no PostgreSQL function is called, nothing is allocated, nothing is raised.
 */
#ifndef SMART_FHIR_JOSE_B64_H
#define SMART_FHIR_JOSE_B64_H

/* Room for the decoded form of len characters. */
#define B64URL_DECODED_MAX(len) ((len) / 4 * 3 + 2)
/* Characters that len bytes make, without a NUL. */
#define B64URL_ENCODED_LEN(len) (((len) *4 + 2) / 3)

/*
 * Decode exactly the one spelling that an encoder makes: no padding, no white space, no
 * foreign character, no length of 1 modulo 4, unused bits zero. False otherwise.
 * out has room for B64URL_DECODED_MAX(len) bytes.
 */
extern bool b64url_decode(const char *in, size_t len, unsigned char *out, size_t *out_len);

/* Encode without padding and without a NUL; returns the number of characters. */
extern size_t b64url_encode(const unsigned char *in, size_t len, char *out);

/* The three parts of header.payload.signature; they point into the token. */
typedef struct JwsParts
{
	const char *header;
	size_t header_len;
	const char *payload;
	size_t payload_len;
	const char *signature;
	size_t signature_len;
} JwsParts;

/*
 * Exactly two dots, a header and a signature that are not empty. The payload may be
 * empty: it may be any bytes (RFC 7515 7.1); jwt_payload() wants an object.
 */
extern bool jws_split(const char *token, size_t len, JwsParts *out);

#endif /* SMART_FHIR_JOSE_B64_H */
