/*
 * src/jose/utf8.h
 *		UTF-8 sequences (RFC 3629) and the hexadecimal digits of JSON escapes. Pure.
 */
#ifndef SMART_FHIR_JOSE_UTF8_H
#define SMART_FHIR_JOSE_UTF8_H

/*
 * Length of the sequence at p, which is before end; 0 when it is none: no overlong form, no
 * surrogate, nothing above U+10FFFF.
 */
extern int utf8_length(const unsigned char *p, const unsigned char *end);
/* Write the character, at most 4 bytes; returns how many. */
extern size_t utf8_encode(uint32 code, char *out);
/* The value of four hexadecimal digits at p, or -1. */
extern int utf8_hex4(const unsigned char *p, const unsigned char *end);

#endif /* SMART_FHIR_JOSE_UTF8_H */
