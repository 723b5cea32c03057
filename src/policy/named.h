/*
 * src/policy/named.h
 *		What a record about records names: the References at a path of it.
 */
#ifndef SMART_FHIR_POLICY_NAMED_H
#define SMART_FHIR_POLICY_NAMED_H

#include "utils/jsonb.h"

#include "compat.h"
#include "fhir/fhir.h"

/* A record that names more than so many others belongs to nobody. */
#define NAMED_MAX 1000

/* Texts point into the resource. */
typedef struct NamedRecord
{
	FhirText type; /* data NULL: it cannot be told */
	FhirText id;
	bool local; /* of the table's own server, so that id means something */
} NamedRecord;

/*
 * The records that the References at a path (target, entity.what) name, sorted, each once;
 * palloc'd. -1: more than NAMED_MAX. resource may be NULL.
 */
extern int named_records(Jsonb *resource, const char *path, FhirText base_url, NamedRecord **named);

extern bool named_records_equal(const NamedRecord *a, int n_a, const NamedRecord *b, int n_b);

#endif /* SMART_FHIR_POLICY_NAMED_H */
