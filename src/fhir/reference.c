/*
 * src/fhir/reference.c
 *		References as text: taken apart, and turned into patient keys.
 *
 * Pure: looks at bytes only. Accepts the plain forms of R4 references ("Type/id" and
 * absolute http(s) URLs, versioned or not); fragments, queries, URNs and everything else
 * that could be read in two ways is no reference here (smart-rules PC-12).
 */
#include "postgres.h"

#include "fhir/tables.h"

#define FHIR_MAX_ID_LEN 64
/* Longer URLs are no keys: an index entry could not hold them. */
#define FHIR_MAX_URL_LEN 1024

#define VERSION_STEP "/_history/"
#define VERSION_STEP_LEN ((int) sizeof(VERSION_STEP) - 1)

enum
{
	TYPE_BYTE = 1, /* A-Z a-z */
	ID_BYTE = 2	   /* A-Z a-z 0-9 - . */
};

/* What each byte may stand in; all others in neither. */
static const unsigned char byte_class[256] = {
	['-'] = 2, ['.'] = 2, ['0'] = 2, ['1'] = 2, ['2'] = 2, ['3'] = 2, ['4'] = 2, ['5'] = 2,
	['6'] = 2, ['7'] = 2, ['8'] = 2, ['9'] = 2, ['A'] = 3, ['B'] = 3, ['C'] = 3, ['D'] = 3,
	['E'] = 3, ['F'] = 3, ['G'] = 3, ['H'] = 3, ['I'] = 3, ['J'] = 3, ['K'] = 3, ['L'] = 3,
	['M'] = 3, ['N'] = 3, ['O'] = 3, ['P'] = 3, ['Q'] = 3, ['R'] = 3, ['S'] = 3, ['T'] = 3,
	['U'] = 3, ['V'] = 3, ['W'] = 3, ['X'] = 3, ['Y'] = 3, ['Z'] = 3, ['a'] = 3, ['b'] = 3,
	['c'] = 3, ['d'] = 3, ['e'] = 3, ['f'] = 3, ['g'] = 3, ['h'] = 3, ['i'] = 3, ['j'] = 3,
	['k'] = 3, ['l'] = 3, ['m'] = 3, ['n'] = 3, ['o'] = 3, ['p'] = 3, ['q'] = 3, ['r'] = 3,
	['s'] = 3, ['t'] = 3, ['u'] = 3, ['v'] = 3, ['w'] = 3, ['x'] = 3, ['y'] = 3, ['z'] = 3};

/* Start of the longest run of bytes of a class that ends before end. */
static inline int
run_start(const char *data, int end, unsigned char class)
{
	while (end > 0 && (byte_class[(unsigned char) data[end - 1]] & class))
		end--;
	return end;
}

bool
fhir_id_is_valid(const char *id, size_t len)
{
	if (len < 1 || len > FHIR_MAX_ID_LEN)
		return false;
	return run_start(id, (int) len, ID_BYTE) == 0;
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

/* Position of the slash before an id that ends before end, or -1. */
static int
slash_before_id(const char *data, int end)
{
	int start = run_start(data, end, ID_BYTE);

	return start > 0 && data[start - 1] == '/' && start < end && end - start <= FHIR_MAX_ID_LEN
			   ? start - 1
			   : -1;
}

bool
fhir_reference_parse(FhirText text, FhirReference *reference)
{
	int end = text.len;
	int id_slash;
	int type_start;

	if (text.data == NULL)
		return false;
	id_slash = slash_before_id(text.data, end);
	if (id_slash < 0)
		return false;

	/* What was read as the id may have been a version. */
	if (id_slash + 1 >= VERSION_STEP_LEN &&
		memcmp(text.data + id_slash + 1 - VERSION_STEP_LEN, VERSION_STEP, VERSION_STEP_LEN) == 0)
	{
		end = id_slash + 1 - VERSION_STEP_LEN;
		id_slash = slash_before_id(text.data, end);
		if (id_slash < 0)
			return false;
	}

	type_start = run_start(text.data, id_slash, TYPE_BYTE);
	if (type_start == id_slash || (type_start > 0 && text.data[type_start - 1] != '/'))
		return false;
	reference->whole = (FhirText){text.data, end};
	reference->id = (FhirText){text.data + id_slash + 1, end - id_slash - 1};
	reference->type = (FhirText){text.data + type_start, id_slash - type_start};
	reference->base = (FhirText){NULL, 0};
	if (type_start > 0)
	{
		reference->base = (FhirText){text.data, type_start - 1};
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
