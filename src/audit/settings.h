/*
 * src/audit/settings.h
 *		What is recorded: smart_fhir.audit and its kin.
 */
#ifndef SMART_FHIR_AUDIT_SETTINGS_H
#define SMART_FHIR_AUDIT_SETTINGS_H

/* Each level records what those before it do, and more. */
typedef enum AuditLevel
{
	AUDIT_OFF,
	AUDIT_LOGINS,
	AUDIT_WRITES,
	AUDIT_ALL
} AuditLevel;

/* In force in this process: the higher one of the setting and of the configuration file. */
extern int audit_level;
/* smart_fhir.audit_identities */
extern bool audit_hashes_identities(void);
/* smart_fhir.audit_patients */
extern bool audit_looks_for_patients(void);

/* Is the statement SET what runs? Returns what was said before. */
extern bool audit_settings_enter_set(bool is_set);

extern void audit_settings_init(void);

#endif /* SMART_FHIR_AUDIT_SETTINGS_H */
