/*
 * src/session/scope_claim.h
 *		The scope claim of a token, read.
 */
#ifndef SMART_FHIR_SESSION_SCOPE_CLAIM_H
#define SMART_FHIR_SESSION_SCOPE_CLAIM_H

#include "nodes/pg_list.h"

/*
 * The scope claim of a token: canonical text of what is well-formed and of a level that the
 * issuer may grant (levels: bits 1 << ScopeLevel). *grants gets its resource
 * scopes as the token spells them, *ignored pairs of texts, scope and
 * reason, for what grants nothing. All palloc'd.
 */
extern char *session_scope_from_claim(const char *claim, bool malformed, int levels, char **grants,
									  List **ignored);

#endif /* SMART_FHIR_SESSION_SCOPE_CLAIM_H */
