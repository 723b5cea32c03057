/*
 * src/oauth/wording.h
 *		What people read on a consent page, in English.
 */
#ifndef SMART_FHIR_OAUTH_WORDING_H
#define SMART_FHIR_OAUTH_WORDING_H

#include "scope/parse.h"

/* One scope token as a sentence; item is the same, parsed (NULL: no resource scope). */
extern char *wording_scope(const char *token, const ScopeItem *item);

#endif /* SMART_FHIR_OAUTH_WORDING_H */
