/*
 * src/fhir/fhir.h
 *		What a FHIR resource says: its type, its patients, its search-parameter values.
 *
 * Knows nothing of tokens, sessions or scopes. All walkers take a jsonb container and
 * neither copy text that they need not nor raise errors. The tables behind them are
 * generated (src/fhir/tables/), so every answer is IMMUTABLE for one FHIR_REVISION.
 */
#ifndef SMART_FHIR_FHIR_H
#define SMART_FHIR_FHIR_H

#include "utils/jsonb.h"

typedef enum FhirVersion
{
	FHIR_R4,
	FHIR_R4B,
	FHIR_R5
} FhirVersion;
#define FHIR_VERSIONS 3

/* "R4", "R4B", "R5" exactly; false for anything else. */
extern bool fhir_version_parse(const char *text, FhirVersion *version);
extern const char *fhir_version_name(FhirVersion version);

/* Raised by one when a correction of the generated tables changes an answer. */
extern const int fhir_revision;

/* Index of a concrete resource type in its version's table, or -1. Not NUL-terminated input. */
extern int fhir_type_lookup(FhirVersion version, const char *name, size_t len);
extern const char *fhir_type_name(FhirVersion version, int type);
extern int fhir_type_count(FhirVersion version);
/* Is the type in the patient compartment (has at least one element there)? */
extern bool fhir_type_in_compartment(FhirVersion version, int type);
/* Can a valid resource of the type be about one patient at most? */
extern bool fhir_type_has_one_subject(FhirVersion version, int type);

/* How compartment membership is read (design.md "How a row is decided"). */
typedef enum FhirReading
{
	FHIR_SUBJECT, /* only the element that says whom the record is about */
	FHIR_FULL	  /* every element of the compartment definition */
} FhirReading;

/* A byte range; not NUL-terminated. data NULL: absent. */
typedef struct FhirText
{
	const char *data;
	int len;
} FhirText;

/*
 * A resource with what its table adds: type and id are those of the row when the JSON
 * lacks them (Aidbox). Filled by fhir_resource_init().
 */
typedef struct FhirResource
{
	JsonbContainer *json;
	FhirVersion version;
	int type; /* -1: no such type in this version */
	FhirText type_name;
	FhirText id;	   /* absent: data NULL */
	FhirText base_url; /* of the table, without a trailing slash; or absent */
} FhirResource;

/*
 * Look at a resource. row_type and row_id (absent: data NULL) stand in for a missing
 * resourceType or id. False, and nothing may be allowed, when json is no object, has a
 * resourceType that is not a string, has none and no row_type stands in, or has one that
 * differs from row_type. An id that is not a string is no id.
 */
extern bool fhir_resource_init(FhirResource *res, JsonbContainer *json, FhirVersion version,
							   FhirText row_type, FhirText row_id, FhirText base_url);

/* A patient key: the bare id of a local patient, or the whole versionless foreign URL. */
typedef struct FhirKeys
{
	int n;
	int capacity;
	FhirText *keys; /* point into the resource; distinct; palloc'd array grows */
	FhirText fixed[8];
} FhirKeys;

/* The keys of the patients whose compartment the resource is in. keys must be initialised
 * with fhir_keys_init(); its array is freed by fhir_keys_reset(). */
extern void fhir_keys_init(FhirKeys *keys);
extern void fhir_keys_reset(FhirKeys *keys);
/* In place of a key, by smart_internal.row_patient(): a record about several patients. */
#define FHIR_SEVERAL_PATIENTS "*"

extern void fhir_patients(const FhirResource *res, FhirReading reading, FhirKeys *keys);

/*
 * Key of a reference to a Patient: "Patient/1", "Patient/1/_history/2" -> "1";
 * "<base_url>/Patient/1" -> "1"; other absolute http(s) URL that ends in Patient/<id>
 * (with or without _history) -> the URL without version; anything else: false.
 */
extern bool fhir_reference_key(FhirText reference, FhirText base_url, FhirText *key);
/* FHIR id: [A-Za-z0-9.-]{1,64} */
extern bool fhir_id_is_valid(const char *id, size_t len);

/* ---- search parameters as constraints (granular scopes) ---- */

typedef struct FhirConstraint FhirConstraint;

/*
 * Compile one name=value (decoded once) for resources of a type. NULL and *reason
 * (static text, for smart.session.ignored_scopes) when the parameter is unknown for the
 * type, its type is not supported, it has a modifier or chain, or the value is not
 * valid; then the scope that holds it grants nothing. palloc'd in CurrentMemoryContext.
 */
extern FhirConstraint *fhir_constraint_compile(FhirVersion version, int type, const char *name,
											   const char *value, const char **reason);
extern bool fhir_constraint_matches(const FhirConstraint *constraint, const FhirResource *res);

/*
 * Is name a supported search parameter of at least one type of this version, and the value
 * valid for it? For scopes on "*". reason as above.
 */
extern bool fhir_constraint_check_any(FhirVersion version, const char *name, const char *value,
									  const char **reason);

#endif /* SMART_FHIR_FHIR_H */
