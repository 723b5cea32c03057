/*
 * src/policy/follow_find.h
 *		Whose the records are that another one names.
 *
 * Reads tables that triggers bind, of the follower's owner, and locks no row. Writes nothing.
 */
#ifndef SMART_FHIR_POLICY_FOLLOW_FIND_H
#define SMART_FHIR_POLICY_FOLLOW_FIND_H

#include "compat.h"
#include "policy/follow_state.h"
#include "policy/named.h"
#include "policy/stored_rows.h"

/*
 * The one patient that all the named records belong to, palloc'd, or NULL. Records of types that
 * cannot name a patient (Location) do not count, unless a table knows one of them.
 */
extern const char *follow_find_patient(Following *state, StoredTable *follower,
									   const NamedRecord *named, int n);

#endif /* SMART_FHIR_POLICY_FOLLOW_FIND_H */
