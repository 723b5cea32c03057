/*
 * src/fhir/search_value.c
 *		Text of search values: escapes; and values that are compared as whole text.
 *
 * String and uri parameters compare whole and exact: for an authorization the safe side
 * is to match less (design.md "How a row is decided"). Only the version of a canonical may be
 * left open.
 */
#include "postgres.h"

#include "fhir/search.h"

int
fhir_value_find(FhirText raw, char separator)
{
	for (int i = 0; i < raw.len; i++)
	{
		if (raw.data[i] == separator)
			return i;
		if (raw.data[i] == '\\')
			i++;
	}
	return -1;
}

bool
fhir_value_unescape(FhirText raw, char *buffer, FhirText *text)
{
	int len = 0;

	for (int i = 0; i < raw.len; i++)
	{
		char c = raw.data[i];

		if (c == '\\')
		{
			if (++i == raw.len)
				return false;
			c = raw.data[i];
			if (c != ',' && c != '|' && c != '$' && c != '\\')
				return false;
		}
		buffer[len++] = c;
	}
	*text = (FhirText){buffer, len};
	return true;
}

bool
fhir_canonical_meets(FhirText wanted, FhirText canonical)
{
	if (canonical.len <= wanted.len + 1 || canonical.data[wanted.len] != '|')
		return fhir_text_equals(wanted, canonical);
	return memcmp(canonical.data, wanted.data, wanted.len) == 0 &&
		   memchr(wanted.data, '|', wanted.len) == NULL &&
		   memchr(canonical.data, '#', canonical.len) == NULL;
}

static bool
text_meets(const JsonbValue *value, void *arg)
{
	const FhirMatch *match = arg;
	FhirText text;

	if (value->type != jbvString)
		return false;
	text = (FhirText){value->val.string.val, value->val.string.len};
	for (int i = 0; i < match->constraint->n; i++)
	{
		FhirText wanted = match->constraint->alternatives[i].text;

		if (match->path->element == FHIR_ELEMENT_CANONICAL ? fhir_canonical_meets(wanted, text)
														   : fhir_text_equals(wanted, text))
			return true;
	}
	return false;
}

/* Any of the named members, each a string or a list of strings. */
static bool
any_part_meets(const JsonbValue *value, FhirMatch *match, const char *const *parts, int n)
{
	for (int i = 0; i < n; i++)
	{
		JsonbValue member;

		if (fhir_member(value, parts[i], (int) strlen(parts[i]), &member) &&
			fhir_each(&member, text_meets, match))
			return true;
	}
	return false;
}

bool
fhir_text_match(const JsonbValue *value, void *arg)
{
	static const char *const name_parts[] = {"text", "family", "given", "prefix", "suffix"};
	static const char *const address_parts[] = {
		"text", "line", "city", "district", "state", "postalCode", "country"};
	FhirMatch *match = arg;

	switch ((FhirElement) match->path->element)
	{
		case FHIR_ELEMENT_HUMAN_NAME:
			return any_part_meets(value, match, name_parts, lengthof(name_parts));
		case FHIR_ELEMENT_ADDRESS:
			return any_part_meets(value, match, address_parts, lengthof(address_parts));
		case FHIR_ELEMENT_TEXT:
		case FHIR_ELEMENT_CANONICAL:
			return text_meets(value, match);
		default:
			return false;
	}
}
