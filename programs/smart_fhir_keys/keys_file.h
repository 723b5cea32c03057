/*
 * programs/smart_fhir_keys/keys_file.h
 *		The file of smart_fhir.oauth_keys: the public keys of all databases that are served.
 */
#ifndef SMART_FHIR_KEYS_KEYS_FILE_H
#define SMART_FHIR_KEYS_KEYS_FILE_H

#include <stdbool.h>

/* Before the first thread begins. */
extern bool keys_file_init(const char *path, int n_databases);

/*
 * The rows of one database, JSON objects a line with a comma between them, to be freed by the
 * callee. Writes the file when they differ from what it has, once every database gave its own.
 * False: it could not be written; it is tried again with the next call.
 */
extern bool keys_file_put(int database, char *rows);

#endif /* SMART_FHIR_KEYS_KEYS_FILE_H */
