/*
 * src/session/preset.h
 *		What presets of smart.add_issuer() change beyond plain options, and what messages say of them.
 */
#ifndef SMART_FHIR_SESSION_PRESET_H
#define SMART_FHIR_SESSION_PRESET_H

/* Where a preset's issuers put what SMART calls by another name: member names, outermost first. */
typedef struct PresetPath
{
	const char *preset;
	const char *claim; /* scope, patient, encounter, fhirUser, client_id */
	int n;
	const char *names[4];
} PresetPath;

/* The scope claim in SMART's spelling; text itself when the preset changes nothing. */
extern char *session_preset_scope(const char *preset, char *text);
/* Does a scope claim hold SMART scopes in a spelling that only a preset reads? */
extern bool session_preset_spells(const char *text);
/* Is there a token in the text that is a SMART scope, in whatever spelling? */
extern bool session_preset_is_scope(const char *text);

/* "a, b": the presets that require none of these claims; NULL when each does. */
extern char *session_presets_without(int n, char *const *claims);
/* The i-th path of all presets, NULL past the last one. */
extern const PresetPath *session_preset_path(int i);

#endif /* SMART_FHIR_SESSION_PRESET_H */
