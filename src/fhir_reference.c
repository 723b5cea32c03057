/*
 * src/fhir_reference.c
 *		References as text: taken apart, and turned into patient keys.
 *
 * Pure: looks at bytes only. Accepts the plain forms of R4 references ("Type/id" and
 * absolute http(s) URLs, versioned or not); fragments, queries, URNs and everything else
 * that could be read in two ways is no reference here (smart-rules PC-12).
 */
#include "postgres.h"

#include "fhir_tables.h"

#define FHIR_MAX_ID_LEN 64
/* Longer URLs are no keys: an index entry could not hold them. */
#define FHIR_MAX_URL_LEN 1024

#define VERSION_STEP "/_history/"
#define VERSION_STEP_LEN ((int) sizeof(VERSION_STEP) - 1)

static inline bool
is_id_byte(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
		   c == '.';
}

bool
fhir_id_is_valid(const char *id, size_t len)
{
	if (len < 1 || len > FHIR_MAX_ID_LEN)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (!is_id_byte((unsigned char) id[i]))
			return false;
	}
	return true;
}

static bool
type_name_is_valid(FhirText type)
{
	if (type.len < 1)
		return false;
	for (int i = 0; i < type.len; i++)
	{
		unsigned char c = (unsigned char) type.data[i];

		if (!(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z'))
			return false;
	}
	return true;
}

/* "http(s)://" and at least one byte more, nothing in it that ends or splits a path. */
static bool
base_is_valid(FhirText base)
{
	int scheme = 0;

	if (base.len > 7 && memcmp(base.data, "http://", 7) == 0)
		scheme = 7;
	else if (base.len > 8 && memcmp(base.data, "https://", 8) == 0)
		scheme = 8;
	if (scheme == 0 || base.len > FHIR_MAX_URL_LEN || base.data[scheme] == '/')
		return false;
	for (int i = scheme; i < base.len; i++)
	{
		unsigned char c = (unsigned char) base.data[i];

		if (c <= ' ' || c == 0x7F || c == '?' || c == '#' || c == '|')
			return false;
	}
	return true;
}

FhirText
fhir_base_url(FhirText base_url)
{
	if (base_url.data != NULL && base_url.len > 0 && base_url.data[base_url.len - 1] == '/')
		base_url.len--;
	if (base_url.len == 0)
		base_url.data = NULL;
	return base_url;
}

/* Position of the last slash before end, or -1. */
static int
last_slash(const char *data, int end)
{
	while (--end >= 0 && data[end] != '/')
		;
	return end;
}

bool
fhir_reference_parse(FhirText text, FhirReference *reference)
{
	int end = text.len;
	int id_slash;
	int type_slash;

	if (text.data == NULL)
		return false;
	id_slash = last_slash(text.data, end);
	if (id_slash < 0)
		return false;
	if (!fhir_id_is_valid(text.data + id_slash + 1, end - id_slash - 1))
		return false;

	/* What was read as the id may have been a version. */
	if (id_slash + 1 >= VERSION_STEP_LEN &&
		memcmp(text.data + id_slash + 1 - VERSION_STEP_LEN, VERSION_STEP, VERSION_STEP_LEN) == 0)
	{
		end = id_slash + 1 - VERSION_STEP_LEN;
		id_slash = last_slash(text.data, end);
		if (id_slash < 0 || !fhir_id_is_valid(text.data + id_slash + 1, end - id_slash - 1))
			return false;
	}

	type_slash = last_slash(text.data, id_slash);
	reference->whole = (FhirText){text.data, end};
	reference->id = (FhirText){text.data + id_slash + 1, end - id_slash - 1};
	reference->type = (FhirText){text.data + type_slash + 1, id_slash - type_slash - 1};
	reference->base = (FhirText){NULL, 0};
	if (!type_name_is_valid(reference->type))
		return false;
	if (type_slash >= 0)
	{
		reference->base = (FhirText){text.data, type_slash};
		return base_is_valid(reference->base);
	}
	return true;
}

bool
fhir_reference_key(FhirText reference, FhirText base_url, FhirText *key)
{
	FhirReference parts;

	if (!fhir_reference_parse(reference, &parts))
		return false;
	if (parts.type.len != 7 || memcmp(parts.type.data, "Patient", 7) != 0)
		return false;
	base_url = fhir_base_url(base_url);
	if (parts.base.data == NULL ||
		(base_url.data != NULL && fhir_text_equals(parts.base, base_url)))
		*key = parts.id;
	else
		*key = parts.whole;
	return true;
}
