/*
 * src/session/file_settings.h
 *		What the configuration file says of our settings, when somebody was quicker.
 *
 * A library that is loaded in a session, session_preload_libraries as well, finds placeholders for its
 * settings: of each the last value that was given. A client's option (PGOPTIONS) or SET, which
 * nobody can refuse before the library is there, so hides the file's value; it is refused only then, and what
 * is left is the default. The file is read again for the settings that a client must not switch off so.
 */
#ifndef SMART_FHIR_SESSION_FILE_SETTINGS_H
#define SMART_FHIR_SESSION_FILE_SETTINGS_H

/* Before our settings are defined, and after. */
extern void file_settings_note(void);
extern void file_settings_restore(void);

#endif /* SMART_FHIR_SESSION_FILE_SETTINGS_H */
