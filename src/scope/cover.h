/*
 * src/scope/cover.h
 *		Which grants do others cover? Private to the scope layer.
 */
#ifndef SMART_FHIR_SCOPE_COVER_H
#define SMART_FHIR_SCOPE_COVER_H

#include "scope/term.h"

/*
 * Take from each term (kept) the letters that another covers; false when that takes too long.
 */
extern bool scope_drop_covered(ScopeReduction *reduction);

#endif /* SMART_FHIR_SCOPE_COVER_H */
