/*
 * src/oauth/narrower.h
 *		The granular scopes of US Core that a person may grant instead of a whole one.
 */
#ifndef SMART_FHIR_OAUTH_NARROWER_H
#define SMART_FHIR_OAUTH_NARROWER_H

#include "nodes/pg_list.h"

#include "scope/parse.h"

/* Scope tokens, C strings; NIL for a type without, or a scope that has constraints already. */
extern List *narrower_scopes(const ScopeItem *item);

#endif /* SMART_FHIR_OAUTH_NARROWER_H */
