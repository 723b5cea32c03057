/*
 * src/oauth/authorize.c
 *		smart.authorize(): what a front end must ask the person before smart.approve() can answer.
 */
#include "postgres.h"

#include "fmgr.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "compat.h"
#include "oauth/answer.h"
#include "oauth/authorization.h"
#include "oauth/question.h"

PG_FUNCTION_INFO_V1(smart_oauth_authorize);

static Jsonb *
refused(const AuthorizationRequest *request)
{
	authorization_log(request);
	if (request->client == NULL || request->client->dynamic)
		return authorization_shown(request->error, request->description);
	return authorization_redirect_error(302, request, request->error, request->description);
}

/* Only who may say who sits there may pass a person: EXECUTE on smart.approve(). */
static void
check_people_duty(FunctionCallInfo fcinfo)
{
	Oid types[2] = {JSONBOID, JSONBOID};
	Oid approve =
		LookupFuncName(list_make2(makeString("smart"), makeString("approve")), 2, types, false);

	compat_check_execute(approve);
}

/* smart.authorize(request jsonb, person jsonb DEFAULT NULL) -> jsonb */
Datum
smart_oauth_authorize(PG_FUNCTION_ARGS)
{
	AuthorizationRequest request;
	Jsonb *person_json = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);
	Known known;
	Question question;

	if (PG_ARGISNULL(0))
		ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("request must not be null"));
	if (person_json != NULL)
	{
		check_people_duty(fcinfo);
		question_check_person(person_json);
	}
	if (!authorization_read(PG_GETARG_JSONB_P(0), &request))
		PG_RETURN_JSONB_P(refused(&request));

	question_read_person(person_json, request.audience, &known);
	question_make(&request, &known, &question);
	if (question.needs != NIL && authorization_prompts(&request, "none"))
	{
		const char *first = linitial(question.needs);

		request.error = strcmp(first, "user") == 0		? "login_required"
						: strcmp(first, "consent") == 0 ? "consent_required"
														: "interaction_required";
		request.description = "the person must be asked";
		PG_RETURN_JSONB_P(refused(&request));
	}

	PG_RETURN_JSONB_P(answer_json(200, question_body(&request, &known, &question)));
}
