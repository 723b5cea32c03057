/*
 * src/policy/owner.h
 *		The rights of a table's owner, for what the extension has to know of all its rows.
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
 * From here on the owner is the current user, until leave_owner() or the end of the
 * (sub)transaction when an error comes between. His policies count for him as ever: nothing is
 * planned meanwhile that would go past them. For expressions that he wrote, as in CREATE INDEX.
 */
extern AsOwner become_owner(Oid owner);
extern void leave_owner(AsOwner before);

/* The owner of a relation; raises 42501 unless the current user has its rights. */
extern Oid owner_checked(Oid relid);

#endif /* SMART_FHIR_OWNER_H */
