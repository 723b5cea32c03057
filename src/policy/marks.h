/*
 * src/policy/marks.h
 *		What a folded plan says of itself: PlanInvalItems of ids that no syscache has.
 *
 * Put on by src/policy/fold.c, asked by src/policy/guard.c.
 */
#ifndef SMART_FHIR_POLICY_MARKS_H
#define SMART_FHIR_POLICY_MARKS_H

#define MARK_POLICY (-0x5346)
#define MARK_REGULAR (-0x5347)			   /* hashValue: the index */
#define MARK_FORM(form) (-0x5350 - (form)) /* hashValue: the call */

#endif /* SMART_FHIR_POLICY_MARKS_H */
