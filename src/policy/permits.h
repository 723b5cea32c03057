/*
 * src/policy/permits.h
 *		How SQL functions over the decision read their arguments.
 */
#ifndef SMART_FHIR_POLICY_PERMITS_H
#define SMART_FHIR_POLICY_PERMITS_H

#include "fmgr.h"
#include "utils/jsonb.h"

#include "access/access.h"

/* One letter of cruds; 22023 for anything else. */
extern int permits_letter_arg(FunctionCallInfo fcinfo, int arg);
/* Options of a protected relation and its type, or the defaults for InvalidOid; 55000. */
extern void permits_table_arg(Oid relid, AccessTable *table, FhirText *type);
/*
 * A resource that no table completes: one without a string resourceType, or of another type
 * than the table's, is none. False then. The row keeps pointers into the jsonb.
 */
extern bool permits_row_from_resource(AccessRow *row, Jsonb *resource, const AccessTable *table,
									  FhirText type);

#endif /* SMART_FHIR_POLICY_PERMITS_H */
