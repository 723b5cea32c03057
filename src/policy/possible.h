/*
 * src/policy/possible.h
 *		What could be allowed on a type, by what the protected tables say of themselves.
 */
#ifndef SMART_FHIR_POLICY_POSSIBLE_H
#define SMART_FHIR_POLICY_POSSIBLE_H

#include "access/access.h"
#include "compat.h"

/*
 * Could any row of a type (by name) be allowed for the letter: in a table under the defaults, or in
 * one that is protected with shared or patients? Else *reason and *level say what stands in the way.
 *
 * Says what could be, and lets no row pass. Whoever may make a table can make it say yes, by policies
 * of his own that look like ours, and nothing else.
 */
extern bool policy_is_possible(const Session *session, const char *type, int letter,
							   AccessReason *reason, ScopeLevel *level);

#endif /* SMART_FHIR_POLICY_POSSIBLE_H */
