/*
 * src/policy/policy.h
 *		What the policies' functions share: their arguments, their refusal.
 */
#ifndef SMART_FHIR_POLICY_H
#define SMART_FHIR_POLICY_H

#include "fmgr.h"

#include "access/access.h"
#include "compat.h"
#include "policy/call.h"
#include "policy/options.h"

/* A text argument of a function; data NULL when it is null. */
extern FhirText policy_text_arg(FunctionCallInfo fcinfo, int arg);

/* Put a patients argument (text, text[], uuid or uuid[]) into row->patients or row->members. */
extern void policy_keys(AccessRow *row, const AccessTable *table, Datum value, bool isnull,
						Oid type);

/*
 * Error 42501 "insufficient scope" (RFC 6750 insufficient_scope): on a type, for the cause, a clause;
 * both NULL: on a row.
 */
extern void policy_raise_insufficient(const char *letters, const char *type, const char *cause)
	pg_attribute_noreturn();

#endif /* SMART_FHIR_POLICY_H */
