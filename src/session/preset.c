/*
 * src/session/preset.c
 *		Scope spellings of particular issuers, rewritten before SMART parsing; what messages know of presets.
 *
 * Entra ID and the Azure FHIR service write patient.Observation.read or
 * patient$all.all, with %2f for a slash (smart-rules 4.4). Only the level separator and whole
 * components equal to "all" are rewritten; values of constraints are left alone (VT-1, VT-2).
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "compat.h"
#include "session/preset.h"

/* What a preset requires, space by space; NULL: the general default. */
typedef struct PresetClaims
{
	const char *preset;
	const char *required;
} PresetClaims;

#include "session/preset_table.h"

/* Length of the separator at p: '/', '.', '$' or %2f; 0 when there is none. */
static int
separator(const char *p, const char *end)
{
	if (p >= end)
		return 0;
	if (*p == '/' || *p == '.' || *p == '$')
		return 1;
	if (end - p >= 3 && pg_strncasecmp(p, "%2f", 3) == 0)
		return 3;
	return 0;
}

static void
entra_token(StringInfo out, const char *token, const char *end)
{
	static const char *const levels[] = {"patient", "user", "system"};

	if (end - token > 6 && strncmp(token, "launch", 6) == 0 && separator(token + 6, end))
	{
		appendStringInfoString(out, "launch/");
		token += 6 + separator(token + 6, end);
		appendBinaryStringInfo(out, token, end - token);
		return;
	}
	for (size_t i = 0; i < lengthof(levels); i++)
	{
		size_t len = strlen(levels[i]);
		const char *type;
		const char *dot;
		const char *permission;
		const char *rest;

		if ((size_t) (end - token) <= len || strncmp(token, levels[i], len) != 0 ||
			!separator(token + len, end))
			continue;
		type = token + len + separator(token + len, end);
		rest = memchr(type, '?', end - type);
		if (rest == NULL)
			rest = end;
		dot = memchr(type, '.', rest - type);
		if (dot == NULL)
			break;
		permission = dot + 1;
		appendStringInfo(out, "%s/", levels[i]);
		if (dot - type == 3 && strncmp(type, "all", 3) == 0)
			appendStringInfoChar(out, '*');
		else
			appendBinaryStringInfo(out, type, dot - type);
		appendStringInfoChar(out, '.');
		if (rest - permission == 3 && strncmp(permission, "all", 3) == 0)
			appendStringInfoChar(out, '*');
		else
			appendBinaryStringInfo(out, permission, rest - permission);
		appendBinaryStringInfo(out, rest, end - rest);
		return;
	}
	appendBinaryStringInfo(out, token, end - token);
}

char *
session_preset_scope(const char *preset, char *text)
{
	StringInfoData out;
	const char *at = text;

	if (preset == NULL || strcmp(preset, "entra") != 0)
		return text;
	initStringInfo(&out);
	for (;;)
	{
		const char *end = at + strcspn(at, " ");

		entra_token(&out, at, end);
		if (*end == '\0')
			break;
		appendStringInfoChar(&out, ' ');
		at = end + 1;
	}
	return out.data;
}

/* How a token of a scope claim is spelled. */
typedef enum
{
	NO_SMART_SCOPE,
	SMART_SPELLING,
	OTHER_SPELLING
} Spelling;

static Spelling
spelling(const char *token, const char *end)
{
	static const char *const levels[] = {"patient", "user", "system", "launch"};

	for (size_t i = 0; i < lengthof(levels); i++)
	{
		size_t len = strlen(levels[i]);
		int n;

		if ((size_t) (end - token) <= len || strncmp(token, levels[i], len) != 0 ||
			(n = separator(token + len, end)) == 0)
			continue;
		/* a level, a type and permissions; launch has no permissions */
		if (memchr(token + len + n, '.', end - token - len - n) == NULL &&
			strcmp(levels[i], "launch") != 0)
			continue;
		return token[len] == '/' ? SMART_SPELLING : OTHER_SPELLING;
	}
	return NO_SMART_SCOPE;
}

static bool
has_spelling(const char *text, bool any)
{
	for (const char *at = text; *at != '\0'; at += strspn(at, " "))
	{
		const char *end = at + strcspn(at, " ");
		Spelling found = spelling(at, end);

		if (found == OTHER_SPELLING || (any && found == SMART_SPELLING))
			return true;
		at = end;
	}
	return false;
}

bool
session_preset_spells(const char *text)
{
	return has_spelling(text, false);
}

bool
session_preset_is_scope(const char *text)
{
	return has_spelling(text, true);
}

static bool
has_word(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = words; *at != '\0'; at += strspn(at, " "))
	{
		size_t n = strcspn(at, " ");

		if (n == len && memcmp(at, word, n) == 0)
			return true;
		at += n;
	}
	return false;
}

char *
session_presets_without(int n, char *const *claims)
{
	StringInfoData out;

	initStringInfo(&out);
	for (size_t i = 0; i < lengthof(preset_claims); i++)
	{
		bool requires = preset_claims[i].required == NULL;

		for (int j = 0; j < n && !requires; j++)
		requires = has_word(preset_claims[i].required, claims[j]);
		if (!requires)
			appendStringInfo(&out, "%s%s", out.len == 0 ? "" : ", ", preset_claims[i].preset);
	}
	return out.len == 0 ? NULL : out.data;
}

const PresetPath *
session_preset_path(int i)
{
	return i < (int) lengthof(preset_paths) ? &preset_paths[i] : NULL;
}
