/*
 * src/audit/identity.h
 *		Keyed hashes of identities, and the mac of records, under smart_fhir.key_file.
 */
#ifndef SMART_FHIR_AUDIT_IDENTITY_H
#define SMART_FHIR_AUDIT_IDENTITY_H

/* Each has a key of its own. */
typedef enum IdentityKind
{
	IDENTITY_SUBJECT,
	IDENTITY_FHIR_USER,
	IDENTITY_PATIENT,
	IDENTITY_ENCOUNTER,
	IDENTITY_JTI,
	IDENTITY_MAC, /* of records, no identity */
	IDENTITY_N_KINDS
} IdentityKind;

#define IDENTITY_HASH_HEX 32 /* 128 bits */
#define IDENTITY_MAC_HEX 64

/* subject, fhir_user, patient, encounter, jti; false for another name. */
extern bool identity_kind(const char *name, IdentityKind *kind);

/*
 * Read the key, when the setting has changed since. False: there is none. Raises 55000 when it cannot
 * be read. Until the next call the others use it, and raise nothing.
 */
extern bool identity_load(void);
/* Hex, NUL-terminated: out has IDENTITY_HASH_HEX + 1 bytes. False: there is no key. */
extern bool identity_hash(IdentityKind kind, const char *value, size_t len, char *out);
/* The same of IDENTITY_MAC_HEX + 1. */
extern bool identity_mac(const char *text, size_t len, char *out);

#endif /* SMART_FHIR_AUDIT_IDENTITY_H */
