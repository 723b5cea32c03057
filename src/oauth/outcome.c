/*
 * src/oauth/outcome.c
 *		Outcomes of requests, and the answers that they become. Knows nothing of why.
 */
#include "postgres.h"

#include "compat.h"
#include "oauth/answer.h"
#include "oauth/failure.h"
#include "oauth/json.h"
#include "oauth/outcome.h"
#include "session/trail.h"

bool
outcome_refuse(Outcome *outcome, int status, const char *error, const char *description,
			   const char *reason)
{
	outcome->status = status;
	outcome->error = error;
	outcome->description = description;
	outcome->body = NULL;
	answer_log(outcome->endpoint, error, reason, outcome->failed_as);
	if (trail_on)
		trail->refused(&(TrailRefusal){
			.endpoint = outcome->endpoint, .rule = error, .client_id = outcome->named});
	return false;
}

Jsonb *
outcome_answer(const Outcome *outcome)
{
	Jsonb *body;
	int wait;

	if (outcome->error == NULL)
		return answer_json(outcome->status, outcome->body);
	body = answer_error_body(outcome->error, outcome->description);
	if (outcome->failed_as != NULL && failure_count(outcome->failed_as, &wait))
		return answer_json_header(429, body, "retry-after", psprintf("%d", wait));
	return answer_json_header(outcome->status,
							  body,
							  outcome->challenge == NULL ? NULL : "www-authenticate",
							  outcome->challenge);
}
