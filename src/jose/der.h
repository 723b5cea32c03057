/*
 * src/jose/der.h
 *		A small DER writer for keys and ECDSA signatures. Pure.
 *
 * OpenSSL reads keys as DER on every version; JWK members go there without the
 * low-level calls that 3.0 deprecates. The buffer is filled from its end, so that each
 * length is known when its header is written.
 */
#ifndef SMART_FHIR_JOSE_DER_H
#define SMART_FHIR_JOSE_DER_H

#define DER_INTEGER 0x02
#define DER_BIT_STRING 0x03
#define DER_OCTET_STRING 0x04
#define DER_SEQUENCE 0x30
#define DER_CONTEXT(n) (0xA0 | (n))

typedef struct DerWriter
{
	unsigned char *start;
	unsigned char *pos; /* what is written begins here */
	unsigned char *end;
	bool overflow; /* the buffer was too small: the result is of no use */
} DerWriter;

extern void der_init(DerWriter *w, unsigned char *buf, size_t size);
extern void der_bytes(DerWriter *w, const unsigned char *data, size_t len);
extern void der_byte(DerWriter *w, unsigned char byte);
/* Tag and length for all that was written since pos was at mark. */
extern void der_header(DerWriter *w, unsigned char tag, const unsigned char *mark);
/* A non-negative INTEGER; leading zero bytes are dropped. */
extern void der_uint(DerWriter *w, const unsigned char *data, size_t len);

#endif /* SMART_FHIR_JOSE_DER_H */
