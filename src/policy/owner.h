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
	int settings; /* nesting level */
	Oid acting;
} AsOwner;

/*
 * From here on the owner is the current user, until leave_owner() or the end of the
 * (sub)transaction when an error comes between. His policies count for him as ever: nothing is
 * planned meanwhile that would go past them. For expressions that he wrote, as in CREATE INDEX:
 * a security-restricted operation under settings of our own, without messages to the client, and
 * no temporary relation of another role is opened, wherever a function's own search_path may find it.
 * Nobody logs in or out.
 */
extern AsOwner become_owner(Oid owner);
/*
 * The current user stays, and his settings, but nothing that is evaluated changes them or his session, until
 * leave_owner(): for expressions that he runs with his own rights, as a policy's in a SELECT of his.
 */
extern AsOwner become_restricted(void);
extern void leave_owner(AsOwner before);

/* The owner of a relation; raises 42501 unless the current user has its rights. */
extern Oid owner_checked(Oid relid);

/* Asked before a table is locked, so that nobody else's lock is waited for. */
extern bool owner_owns(Oid owner, Oid relid);

extern void owner_init(void);

#endif /* SMART_FHIR_OWNER_H */
