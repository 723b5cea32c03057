/*
 * src/access/shape.h
 *		What the decision comes to for a whole table, before any row is looked at.
 *
 * The folding of policies rests on it. Part of the decision: it must agree with
 * access_permits_command() for every row, and test/t/080_decisions_property.pl holds it to that.
 */
#ifndef SMART_FHIR_ACCESS_SHAPE_H
#define SMART_FHIR_ACCESS_SHAPE_H

#include "access/access.h"

typedef enum AccessShapeKind
{
	ACCESS_SHAPE_BY_ROW,   /* nothing can be said of all rows */
	ACCESS_SHAPE_NOTHING,  /* no row */
	ACCESS_SHAPE_PATIENTS, /* exactly the valid rows in the compartment of a reached patient */
	ACCESS_SHAPE_WITHIN,   /* only such rows, but not all of them */
	ACCESS_SHAPE_ALL	   /* every valid row */
} AccessShapeKind;

typedef struct AccessShape
{
	AccessShapeKind kind;
	int levels; /* PATIENTS, WITHIN: bits 1 << ScopeLevel of the levels whose patients count */
} AccessShape;

/*
 * For the rows of a table on which a command runs under a session; type: index of
 * fhir_type_lookup(), or -1 when the table holds many types. INSERT is always BY_ROW.
 */
extern AccessShape access_shape(const Session *session, const AccessTable *table, int type,
								AccessCommand command);

/* The levels that can reach listed patients. */
#define ACCESS_LEVELS_OF_PATIENTS (1 << SCOPE_LEVEL_PATIENT | 1 << SCOPE_LEVEL_USER)

/* From so many on, a key is better looked up than compared with each: one that is at hand, or any. */
#define ACCESS_DOZENS_OF_PATIENTS 17
#define ACCESS_MANY_PATIENTS 257

/*
 * How many patients the levels reach: 0, 1, 2 for several, 3 for dozens, 4 for many. *only: the
 * one when it is 1.
 */
extern int access_count_patients(const Session *session, int levels, const char **only);

#endif /* SMART_FHIR_ACCESS_SHAPE_H */
