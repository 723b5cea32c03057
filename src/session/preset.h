/*
 * src/session/preset.h
 *		What presets of smart.add_issuer() change beyond plain options: scope spellings.
 */
#ifndef SMART_FHIR_SESSION_PRESET_H
#define SMART_FHIR_SESSION_PRESET_H

/* The scope claim in SMART's spelling; text itself when the preset changes nothing. */
extern char *session_preset_scope(const char *preset, char *text);

#endif /* SMART_FHIR_SESSION_PRESET_H */
