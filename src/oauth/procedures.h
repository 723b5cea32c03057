/*
 * src/oauth/procedures.h
 *		Procedures that commit before they answer.
 */
#ifndef SMART_FHIR_OAUTH_PROCEDURES_H
#define SMART_FHIR_OAUTH_PROCEDURES_H

#include "fmgr.h"
#include "utils/jsonb.h"

/* 25001 inside a transaction block, a function, or a block with an exception handler. */
extern void procedure_require_nonatomic(FunctionCallInfo fcinfo, const char *name);
/* The running transaction commits with synchronous_commit at least on. */
extern void procedure_make_durable(void);
/*
 * Run work, commit, and return what it gave as the procedure's one INOUT parameter. An error in
 * it, and a cancellation before the commit, leave all as it was.
 */
extern Datum procedure_commit(FunctionCallInfo fcinfo,
							  Jsonb *(*work)(FunctionCallInfo fcinfo, const void *arg),
							  const void *arg);

#endif /* SMART_FHIR_OAUTH_PROCEDURES_H */
