/*
 * src/oauth/approval.h
 *		What a person said, met with what was asked.
 */
#ifndef SMART_FHIR_OAUTH_APPROVAL_H
#define SMART_FHIR_OAUTH_APPROVAL_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#include "oauth/authorization.h"
#include "oauth/person.h"

typedef struct Approval
{
	bool denied;
	Person person;
	char *patient; /* NULL: not given, as all that follows */
	char *encounter;
	char *session;
	char *scope;
	TimestampTz auth_time; /* 0: not given */
} Approval;

/* What is granted, as far as it is settled. */
typedef struct Settled
{
	char *scope;
	char *patient;
	char *encounter;
} Settled;

/* What must be right in any approval, whatever the request is; raises 22023. */
extern void approval_read(const Jsonb *json, Approval *approval);
/*
 * Meet it with a request that is good. NULL, and what is granted; else why access is denied. Raises 22023 for a member
 * that does not fit the request.
 */
extern const char *approval_settle(const Jsonb *json, const AuthorizationRequest *request,
								   Approval *approval, Settled *settled);
/* The row of the grant; its grant_id. */
extern char *approval_add_grant(const AuthorizationRequest *request, const Approval *approval,
								const Settled *settled);

#endif /* SMART_FHIR_OAUTH_APPROVAL_H */
