/*
 * src/fhir/search.h
 *		A compiled constraint, shared by the files that know one kind of parameter each.
 *
 * Only src/fhir/search*.c include this.
 */
#ifndef SMART_FHIR_FHIR_SEARCH_H
#define SMART_FHIR_FHIR_SEARCH_H

#include "fhir/tables.h"

typedef enum FhirSystemRule
{
	FHIR_SYSTEM_ANY,  /* code */
	FHIR_SYSTEM_NONE, /* |code */
	FHIR_SYSTEM_EXACT /* system|code, system| */
} FhirSystemRule;

typedef enum FhirPrefix
{
	FHIR_EQ,
	FHIR_NE,
	FHIR_GT,
	FHIR_LT,
	FHIR_GE,
	FHIR_LE,
	FHIR_SA,
	FHIR_EB
} FhirPrefix;

/* Half open, in microseconds since 2000-01-01 UTC; the ends of int64 stand for "open". */
typedef struct FhirInterval
{
	int64 low;
	int64 high;
} FhirInterval;

/* One of the values that commas separate; the members that its parameter's kind uses. */
typedef struct FhirAlternative
{
	FhirText text; /* unescaped; of a token the code, absent in "system|" */

	FhirSystemRule system_rule;
	FhirText system;

	bool is_reference; /* reference was parsed from the text (or from Type/text) */
	bool is_bare_id;   /* the text is an id without type */
	FhirReference reference;

	FhirPrefix prefix;
	FhirInterval interval;
} FhirAlternative;

struct FhirConstraint
{
	const FhirTables *tables;
	const FhirParam *param;
	FhirVersion version;
	int type;
	bool is_id; /* _id, which the row may hold */
	int n;
	FhirAlternative alternatives[FLEXIBLE_ARRAY_MEMBER];
};

/* What stands at one path of one resource, while it is compared. */
typedef struct FhirMatch
{
	const FhirConstraint *constraint;
	const FhirResource *res;
	const FhirParamPath *path;
} FhirMatch;

/*
 * Compile raw (still escaped) text into an alternative. buffer is large enough for what
 * raw unescapes to, and lives as long as the constraint. False, and *reason, if invalid.
 */
extern bool fhir_token_compile(FhirText raw, char *buffer, FhirAlternative *alternative,
							   const char **reason);
extern bool fhir_date_compile(FhirText raw, char *buffer, FhirAlternative *alternative,
							  const char **reason);
extern bool fhir_reference_compile(const FhirConstraint *constraint, FhirText raw, char *buffer,
								   FhirAlternative *alternative, const char **reason);

/* FhirVisit functions over FhirMatch: does the value meet any of the alternatives? */
extern bool fhir_token_match(const JsonbValue *value, void *match);
extern bool fhir_date_match(const JsonbValue *value, void *match);
extern bool fhir_reference_match(const JsonbValue *value, void *match);
extern bool fhir_text_match(const JsonbValue *value, void *match);

/* Does code (absent: none) in system (absent: without) meet any of the alternatives? */
extern bool fhir_token_meets(const FhirConstraint *constraint, FhirText code, FhirText system);

/*
 * Does a canonical (R4 references, "Canonical URLs") meet what was asked for? The same text does; a
 * URL without version meets every version of it, but no fragment, which is another thing.
 */
extern bool fhir_canonical_meets(FhirText wanted, FhirText canonical);

/* Position of the first separator that no backslash escapes, or -1. */
extern int fhir_value_find(FhirText raw, char separator);
/* Undo \, \| \$ \\ (R4 search, "Escaping Search Parameters"); false on any other backslash. */
extern bool fhir_value_unescape(FhirText raw, char *buffer, FhirText *text);

#endif /* SMART_FHIR_FHIR_SEARCH_H */
