/*
 * src/fhir/tables.h
 *		Shape of the generated tables (src/fhir/tables/) and how to walk their paths.
 *
 * Only files of the fhir layer include this. The tables hold offsets into one string
 * each, not pointers, so that they need no relocation and stay shared by all backends.
 */
#ifndef SMART_FHIR_FHIR_TABLES_H
#define SMART_FHIR_FHIR_TABLES_H

#include "fhir/fhir.h"

/*
 * Raise this by one, and run tools/generate_fhir_tables.pl, when a change of the tables or
 * of the code that walks them changes any answer of smart.patients() or smart_internal.row_patients():
 * policies and index expressions hold the number (design.md, decision 4).
 */
#define FHIR_TABLES_REVISION 1

/* What a search parameter is; FHIR_PARAM_NONE has no paths and is not supported. */
typedef enum FhirParamKind
{
	FHIR_PARAM_NONE,
	FHIR_PARAM_TOKEN,
	FHIR_PARAM_REFERENCE,
	FHIR_PARAM_STRING,
	FHIR_PARAM_URI,
	FHIR_PARAM_DATE
} FhirParamKind;

/* What stands at a path, as far as matching treats it differently. */
typedef enum FhirElement
{
	FHIR_ELEMENT_TEXT,			/* code, string, markdown, id, uri, url */
	FHIR_ELEMENT_CANONICAL,		/* URL, or URL|version */
	FHIR_ELEMENT_BOOLEAN,
	FHIR_ELEMENT_CODING,
	FHIR_ELEMENT_CODEABLE_CONCEPT,
	FHIR_ELEMENT_IDENTIFIER,
	FHIR_ELEMENT_CONTACT_POINT,
	FHIR_ELEMENT_HUMAN_NAME,
	FHIR_ELEMENT_ADDRESS,
	FHIR_ELEMENT_REFERENCE,
	FHIR_ELEMENT_DATE_TIME,		/* date, dateTime, instant */
	FHIR_ELEMENT_PERIOD,
	FHIR_ELEMENT_TIMING
} FhirElement;

/* Keep the objects after `step` steps of the path whose member `element` is `equals`. */
typedef struct FhirFilter
{
	uint16		step;
	uint16		element;		/* offset of the name */
	uint16		equals;			/* offset of the text */
} FhirFilter;

typedef struct FhirParamPath
{
	uint16		path;			/* offset; see fhir_walk() */
	uint8		element;		/* FhirElement */
	int16		filter;			/* index, or -1 */
	int16		resolve_is;		/* index of the type that the reference must be to, or -1 */
} FhirParamPath;

typedef struct FhirParam
{
	uint16		name;			/* offset */
	uint8		kind;			/* FhirParamKind */
	uint8		n_paths;
	uint16		first_path;
	int16		target;			/* index of the only target type of a reference, or -1 */
} FhirParam;

typedef struct FhirMember
{
	uint16		path;			/* offset; a path to References */
	bool		is_subject;
	bool		is_own_id;		/* the Patient itself: no path is walked */
} FhirMember;

typedef struct FhirType
{
	uint16		name;			/* offset */
	uint8		name_len;
	uint8		n_members;
	uint16		first_member;
	uint16		n_params;
	uint16		first_param;
} FhirType;

typedef struct FhirTables
{
	const char *strings;		/* names end with NUL */
	const FhirType *types;		/* sorted by name */
	const FhirMember *members;
	const FhirParam *params;	/* sorted by name within a type */
	const FhirParamPath *paths;
	const FhirFilter *filters;
	int			n_types;
	uint16		first_common;	/* parameters of all types */
	uint16		n_common;
} FhirTables;

extern const FhirTables fhir_tables_r4;
extern const FhirTables fhir_tables_r4b;
extern const FhirTables fhir_tables_r5;

extern const FhirTables *fhir_tables(FhirVersion version);

/*
 * A path in the tables: for each step one byte of length and the member's name, then NUL.
 * Calls visit for each value there; arrays are gone through at every step, one level deep
 * (FHIR has no array in an array). True as soon as visit returns true.
 */
typedef bool (*FhirVisit) (const JsonbValue *value, void *arg);

extern bool fhir_walk(JsonbContainer *object, const FhirTables *tables, uint16 path,
					  const FhirFilter *filter, FhirVisit visit, void *arg);

/* Calls visit for the value, or for each item if it is an array. */
extern bool fhir_each(const JsonbValue *value, FhirVisit visit, void *arg);

/* getKeyJsonValueFromContainer() of core for an object, quicker. A null is found. */
extern bool fhir_find(JsonbContainer *object, const char *name, int len, JsonbValue *value);
/* Member of an object; false when absent, null, or value is no object. */
extern bool fhir_member(const JsonbValue *value, const char *name, int len, JsonbValue *member);
/* Member as text; false too when it is not a string. */
extern bool fhir_member_text(const JsonbValue *value, const char *name, int len, FhirText *text);

#define fhir_find_literal(object, name, value) fhir_find(object, name, sizeof(name) - 1, value)
#define fhir_member_literal(value, name, member) fhir_member(value, name, sizeof(name) - 1, member)
#define fhir_text_literal(value, name, text) fhir_member_text(value, name, sizeof(name) - 1, text)

static inline bool
fhir_text_equals(FhirText a, FhirText b)
{
	return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* References (src/fhir/reference.c) */

/* "Type/id" taken apart; type is any name, id a FHIR id, a version is not in either. */
typedef struct FhirReference
{
	FhirText	base;			/* of an absolute URL, without the slash; absent if relative */
	FhirText	type;
	FhirText	id;
	FhirText	whole;			/* the reference without its version */
} FhirReference;

/* Parse "Type/id", "<http(s) base>/Type/id", each with or without a version. */
extern bool fhir_reference_parse(FhirText text, FhirReference *reference);

/* base_url without its one trailing slash; absent when empty. */
extern FhirText fhir_base_url(FhirText base_url);

#endif							/* SMART_FHIR_FHIR_TABLES_H */
