/*
 * src/scope/scope.h
 *		The stored form of smart.smart_scope, for the SQL functions of this layer.
 */
#ifndef SMART_FHIR_SCOPE_H
#define SMART_FHIR_SCOPE_H

#include "fmgr.h"

#include "scope/types.h"

/* A varlena that holds the canonical text, without terminator. */
typedef struct varlena SmartScope;

#define DatumGetSmartScopeP(datum) ((SmartScope *) PG_DETOAST_DATUM_PACKED(datum))
#define PG_GETARG_SMART_SCOPE_P(n) DatumGetSmartScopeP(PG_GETARG_DATUM(n))
#define PG_RETURN_SMART_SCOPE_P(x) return PointerGetDatum(x)

/* What a stored value holds. */
extern void scope_value_list(const SmartScope *scope, ScopeList *list);

#endif /* SMART_FHIR_SCOPE_H */
