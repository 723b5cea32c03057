/*
 * src/session/oauth_keys.h
 *		Issuers where no database can be read: the file of smart_fhir.oauth_keys.
 */
#ifndef SMART_FHIR_SESSION_OAUTH_KEYS_H
#define SMART_FHIR_SESSION_OAUTH_KEYS_H

#include "session/issuer.h"

/* Larger files are not read. */
#define OAUTH_KEYS_MAX_BYTES (16 * 1024 * 1024)

extern void oauth_keys_init(void);
/*
 * Read the file, palloc'd; false, and *problem (a sentence), when it cannot be used. Read anew at each call: whoever asks
 * does so once in a process.
 */
extern bool oauth_keys_read(Jsonb **file, const char **problem);
/* The issuer of this name for connections to this database; NULL: none, or its entry cannot be used. */
extern Issuer *oauth_keys_find(Jsonb *file, const char *database, const char *name);

#endif /* SMART_FHIR_SESSION_OAUTH_KEYS_H */
