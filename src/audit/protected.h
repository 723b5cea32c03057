/*
 * src/audit/protected.h
 *		Which tables are protected, and how records name them.
 */
#ifndef SMART_FHIR_AUDIT_PROTECTED_H
#define SMART_FHIR_AUDIT_PROTECTED_H

#include "nodes/primnodes.h"

/* One table; kept as long as somebody has it. */
typedef struct ProtectedTable
{
	Oid relid;
	int refs;
	FuncExpr *call; /* of its policies */
	Oid owner;
	int len;
	char *json; /* `{"name":"s.t","type":"Observation"` */
} ProtectedTable;

/* NULL: it is not protected. Reads the catalogs, without a lock on the table. To be given back. */
extern ProtectedTable *protected_find(Oid relid);
extern void protected_release(ProtectedTable *table);

extern void protected_init(void);

#endif /* SMART_FHIR_AUDIT_PROTECTED_H */
