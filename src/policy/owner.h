/*
 * src/policy/owner.h
 *		SQL as a table's owner, past its FORCE ROW LEVEL SECURITY.
 *
 * For what the extension has to know of all rows of a table: only our own statements run so, and
 * the expressions and triggers that the owner wrote. PostgreSQL's foreign keys do the same.
 */
#ifndef SMART_FHIR_OWNER_H
#define SMART_FHIR_OWNER_H

#include "compat.h"

typedef struct AsOwner
{
	Oid user;
	int context;
} AsOwner;

/*
 * From here on SPI is connected, and runs as the owner, until leave_owner() or the end of the
 * (sub)transaction when an error comes between.
 */
extern AsOwner become_owner(Oid owner);
extern void leave_owner(AsOwner before);

/* The owner of a relation; raises 42501 unless the current user has its rights. */
extern Oid owner_checked(Oid relid);

#endif /* SMART_FHIR_OWNER_H */
