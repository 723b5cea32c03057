/*
 * src/session/key_file.h
 *		The key of the server: the file that smart_fhir.key_file names.
 *
 * Under it smart_fhir_oauth seals its signing keys, and the audit trail hides identities and signs its
 * records.
 */
#ifndef SMART_FHIR_SESSION_KEY_FILE_H
#define SMART_FHIR_SESSION_KEY_FILE_H

#define KEY_FILE_KEY_BYTES 32

/*
 * The key. False when the setting is empty; raises 55000 when the file cannot be read, is too short,
 * or may be read by everybody. Reads the file each time.
 */
extern bool key_file_read(unsigned char *key);
/* Changes with the setting: what was made of the key before is to be made again. */
extern uint64 key_file_generation(void);

extern void key_file_init(void);

#endif /* SMART_FHIR_SESSION_KEY_FILE_H */
