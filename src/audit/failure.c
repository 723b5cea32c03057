/*
 * src/audit/failure.c
 *		The error of the moment: its SQLSTATE, and the stable code of one of ours.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "compat.h"
#include "audit/failure.h"

void
failure_of_error(AuditFailure *failure)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch;
	ErrorData *error;

	memset(failure, 0, sizeof(*failure));
	failure->sqlstate = geterrcode();
	/* nothing more can be had then */
	if (failure->sqlstate == ERRCODE_OUT_OF_MEMORY)
		return;
	scratch =
		AllocSetContextCreate(TopMemoryContext, "smart_fhir audit failure", ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(scratch);
	error = CopyErrorData();
	failure->ours = error->schema_name != NULL && strcmp(error->schema_name, "smart") == 0;
	if (failure->ours && error->constraint_name != NULL)
		strlcpy(failure->rule, error->constraint_name, sizeof(failure->rule));
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);
}
