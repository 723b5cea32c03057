/*
 * src/policy/reason.h
 *		Why the decision is no, in words that a person can mend it by.
 */
#ifndef SMART_FHIR_POLICY_REASON_H
#define SMART_FHIR_POLICY_REASON_H

#include "access/access.h"

/*
 * A clause that names the claim or option behind a reason at a level, no claim's value. Of a record,
 * unless of_type: then of all records of a type.
 */
extern const char *policy_reason_text(const Session *session, AccessReason reason, ScopeLevel level,
									  bool of_type);

#endif /* SMART_FHIR_POLICY_REASON_H */
