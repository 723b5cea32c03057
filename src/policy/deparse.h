/*
 * src/policy/deparse.h
 *		Expressions of other roles' tables as SQL.
 */
#ifndef SMART_FHIR_POLICY_DEPARSE_H
#define SMART_FHIR_POLICY_DEPARSE_H

#include "nodes/nodes.h"

#include "compat.h"

/*
 * An expression over a relation's columns as SQL, palloc'd, the same whatever the session's settings
 * say. Evaluates nothing and takes no lock on the relation; NULL when that cannot be.
 */
extern char *deparse_over_relation(Oid relid, Node *expression);

/*
 * Fix the settings that change how SQL is read and written, and what it finds, until
 * AtEOXact_GUC(true, level) or the end of the (sub)transaction.
 */
extern int fix_settings(void);

#endif /* SMART_FHIR_POLICY_DEPARSE_H */
