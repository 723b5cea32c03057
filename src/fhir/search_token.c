/*
 * src/fhir/search_token.c
 *		Token parameters: code, system|code, |code, system| (R4 search, token).
 *
 * Codes and systems are compared as bytes (smart-rules G-12). An element without a system
 * of its own (code, boolean, string, ...) has none, whatever its binding implies.
 */
#include "postgres.h"

#include "fhir/search.h"

bool
fhir_token_compile(FhirText raw, char *buffer, FhirAlternative *alternative, const char **reason)
{
	int bar = fhir_value_find(raw, '|');
	FhirText code = raw;

	alternative->system_rule = FHIR_SYSTEM_ANY;
	if (bar >= 0)
	{
		FhirText system = {raw.data, bar};

		code = (FhirText){raw.data + bar + 1, raw.len - bar - 1};
		if (fhir_value_find(code, '|') >= 0)
		{
			*reason = "more than one bar in a token";
			return false;
		}
		if (system.len == 0 && code.len == 0)
		{
			*reason = "neither system nor code in a token";
			return false;
		}
		alternative->system_rule = system.len == 0 ? FHIR_SYSTEM_NONE : FHIR_SYSTEM_EXACT;
		if (!fhir_value_unescape(system, buffer, &alternative->system))
		{
			*reason = "a backslash escapes nothing";
			return false;
		}
		buffer += bar;
	}
	if (code.len > 0 && !fhir_value_unescape(code, buffer, &alternative->text))
	{
		*reason = "a backslash escapes nothing";
		return false;
	}
	return true;
}

bool
fhir_token_meets(const FhirConstraint *constraint, FhirText code, FhirText system)
{
	for (int i = 0; i < constraint->n; i++)
	{
		const FhirAlternative *wanted = &constraint->alternatives[i];

		if (wanted->text.data != NULL &&
			(code.data == NULL || !fhir_text_equals(wanted->text, code)))
			continue;
		switch (wanted->system_rule)
		{
			case FHIR_SYSTEM_ANY:
				return true;
			case FHIR_SYSTEM_NONE:
				if (system.data == NULL)
					return true;
				break;
			case FHIR_SYSTEM_EXACT:
				if (system.data != NULL && fhir_text_equals(wanted->system, system))
					return true;
				break;
		}
	}
	return false;
}

/* An object with a system and a code member of the given name. */
static bool
coded_meets(const JsonbValue *value, const FhirMatch *match, const char *code_name)
{
	FhirText code = {NULL, 0};
	FhirText system = {NULL, 0};
	JsonbValue member;

	fhir_member_text(value, code_name, (int) strlen(code_name), &code);
	if (fhir_member_literal(value, "system", &member))
	{
		/* A system that is no string is not "without system" either. */
		if (member.type != jbvString)
			return false;
		system = (FhirText){member.val.string.val, member.val.string.len};
	}
	return fhir_token_meets(match->constraint, code, system);
}

static bool
coding_meets(const JsonbValue *value, void *arg)
{
	return coded_meets(value, arg, "code");
}

/* A canonical under a token parameter: system|code is URL|version here. */
static bool
canonical_meets(const FhirConstraint *constraint, FhirText canonical)
{
	for (int i = 0; i < constraint->n; i++)
	{
		const FhirAlternative *wanted = &constraint->alternatives[i];
		FhirText url = wanted->system;

		if (wanted->system_rule != FHIR_SYSTEM_EXACT)
		{
			if (fhir_canonical_meets(wanted->text, canonical))
				return true;
		}
		else if (wanted->text.len > 0 && canonical.len == url.len + 1 + wanted->text.len &&
				 memcmp(canonical.data, url.data, url.len) == 0 && canonical.data[url.len] == '|' &&
				 memcmp(canonical.data + url.len + 1, wanted->text.data, wanted->text.len) == 0)
			return true;
	}
	return false;
}

bool
fhir_token_match(const JsonbValue *value, void *arg)
{
	FhirMatch *match = arg;
	FhirText none = {NULL, 0};
	FhirText text;
	JsonbValue coding;

	switch ((FhirElement) match->path->element)
	{
		case FHIR_ELEMENT_CODEABLE_CONCEPT:
			return fhir_member_literal(value, "coding", &coding) &&
				   fhir_each(&coding, coding_meets, match);
		case FHIR_ELEMENT_CODING:
			return coding_meets(value, match);
		case FHIR_ELEMENT_IDENTIFIER:
			return coded_meets(value, match, "value");
		case FHIR_ELEMENT_CONTACT_POINT:
			/* Its system is phone, email, ...: no namespace. */
			return fhir_text_literal(value, "value", &text) &&
				   fhir_token_meets(match->constraint, text, none);
		case FHIR_ELEMENT_BOOLEAN:
			if (value->type != jbvBool)
				return false;
			text = value->val.boolean ? (FhirText){"true", 4} : (FhirText){"false", 5};
			return fhir_token_meets(match->constraint, text, none);
		case FHIR_ELEMENT_TEXT:
		case FHIR_ELEMENT_CANONICAL:
			if (value->type != jbvString)
				return false;
			text = (FhirText){value->val.string.val, value->val.string.len};
			if (match->path->element == FHIR_ELEMENT_CANONICAL)
				return canonical_meets(match->constraint, text);
			return fhir_token_meets(match->constraint, text, none);
		default:
			return false;
	}
}
