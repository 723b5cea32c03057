/*
 * src/session/file_settings.c
 *		The configuration file's values, restored. See src/session/file_settings.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "compat.h"
#include "session/file_settings.h"

static const char *const guarded[] = {"smart_fhir.audit",
									  "smart_fhir.audit_identities",
									  "smart_fhir.audit_patients",
									  "smart_fhir.key_file"};
static bool placed[lengthof(guarded)];

void
file_settings_note(void)
{
	if (process_shared_preload_libraries_in_progress)
		return;
	for (size_t i = 0; i < lengthof(guarded); i++)
		placed[i] = GetConfigOption(guarded[i], true, false) != NULL;
}

static void
apply(const ConfigVariable *list, const char *name)
{
	for (; list != NULL; list = list->next)
		if (list->errmsg == NULL && !list->ignore && pg_strcasecmp(list->name, name) == 0)
			(void) set_config_option(
				name, list->value, PGC_SIGHUP, PGC_S_FILE, GUC_ACTION_SET, true, LOG, false);
}

/* Was there a value, and it is not the file's that is in force? */
static bool
is_hidden(int i)
{
	const struct config_generic *setting = placed[i] ? compat_find_setting(guarded[i]) : NULL;

	return setting != NULL && setting->source != PGC_S_FILE;
}

void
file_settings_restore(void)
{
	const char *const files[] = {ConfigFileName, PG_AUTOCONF_FILENAME};
	bool hidden[lengthof(guarded)];
	bool any = false;

	for (size_t i = 0; i < lengthof(guarded); i++)
		any |= hidden[i] = is_hidden((int) i);
	if (!any)
		return;
	for (size_t f = 0; f < lengthof(files); f++)
	{
		ConfigVariable *head = NULL;
		ConfigVariable *tail = NULL;

		if (files[f] == NULL || !ParseConfigFile(files[f], f == 0, NULL, 0, 0, LOG, &head, &tail))
			ereport(ERROR,
					errcode(ERRCODE_CONFIG_FILE_ERROR),
					errmsg("the configuration file cannot be read again"),
					errdetail("A setting of smart_fhir was given by the client, and the file's is "
							  "asked for."));
		for (size_t i = 0; i < lengthof(guarded); i++)
			if (hidden[i])
				apply(head, guarded[i]);
		FreeConfigVariables(head);
	}
}
