/*
 * src/scope/letters.h
 *		Permission letters as text and as bits. Pure.
 */
#ifndef SMART_FHIR_SCOPE_LETTERS_H
#define SMART_FHIR_SCOPE_LETTERS_H

#include "scope/types.h"

/* "rs" -> bits. 0 when the text is not letters in the order cruds, each once. */
extern int scope_permissions_parse(const char *text, size_t len);
/* bits -> "rs"; buf holds at least 6 bytes. */
extern char *scope_permissions_text(int permissions, char *buf);

#endif /* SMART_FHIR_SCOPE_LETTERS_H */
