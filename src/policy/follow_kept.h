/*
 * src/policy/follow_kept.h
 *		Rows that an UPDATE moves to another partition, with the patient that they keep.
 *
 * Such a row is inserted there afterwards, and the triggers are not shown its old version again.
 * The values decide, or a digest of them that nobody can make to order; forgotten when the
 * transaction ends. Knows neither rows nor tables but by name.
 */
#ifndef SMART_FHIR_POLICY_FOLLOW_KEPT_H
#define SMART_FHIR_POLICY_FOLLOW_KEPT_H

#include "utils/rel.h"

#include "compat.h"
#include "policy/named.h"

/* Before an UPDATE of a row: the patient that it keeps. NULL: none, or the row has stayed. */
extern void follow_note_kept(Relation rel, const char *patient, const NamedRecord *named, int n);
/* Before an INSERT: is it that row? */
extern bool follow_is_moving(Relation rel, const char *patient, const NamedRecord *named, int n);
/* After an INSERT: was it such a row? */
extern bool follow_has_moved(Relation rel, const char *patient, const NamedRecord *named, int n);

#endif /* SMART_FHIR_POLICY_FOLLOW_KEPT_H */
