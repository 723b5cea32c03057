/*
 * src/policy/estimate.c
 *		Planner support of smart_internal.row_check(): how many rows it lets pass.
 *
 * Where it only stands in for a bare comparison or for nothing, because of irregular rows, it
 * lets pass what that would: of the rows beside it, all. Scopes with search parameters leave a
 * part that nobody knows; what PostgreSQL assumes of a function (a third) is kept for them over
 * all patients, and a half within a patient's own rows.
 */
#include "postgres.h"

#include "fmgr.h"
#include "nodes/primnodes.h"
#include "nodes/supportnodes.h"

#include "compat.h"
#include "policy/policy.h"
#include "policy/forms.h"
#include "session/session.h"

PG_FUNCTION_INFO_V1(smart_row_check_support);

#define PART_OF_ALL_ROWS 0.3333333
#define PART_OF_OWN_ROWS 0.5

static bool
estimate(SupportRequestSelectivity *request)
{
	Const *command;
	Const *type;
	Const *options;
	PolicyCall call;
	int levels;

	if (request->is_join || list_length(request->args) != POLICY_N_ARGS)
		return false;
	command = list_nth(request->args, POLICY_COMMAND);
	type = list_nth(request->args, POLICY_TYPE);
	options = list_nth(request->args, POLICY_OPTIONS);
	if (!IsA(command, Const) || command->constisnull || !IsA(options, Const) ||
		options->constisnull || (IsA(type, Const) && type->constisnull))
		return false;
	call = policy_call_find(DatumGetTextPP(command->constvalue),
							IsA(type, Const) ? DatumGetTextPP(type->constvalue) : NULL,
							DatumGetJsonbP(options->constvalue));
	switch (policy_call_form(call, session_current(), &levels))
	{
		case POLICY_ALL:
		case POLICY_ALL_BY_ROW:
		case POLICY_ONE:
		case POLICY_SEVERAL:
		case POLICY_DOZENS:
		case POLICY_MANY:
			request->selectivity = 1.0;
			break;
		case POLICY_ONE_WITHIN:
		case POLICY_SEVERAL_WITHIN:
			request->selectivity = PART_OF_OWN_ROWS;
			break;
		case POLICY_BY_ROW:
		case POLICY_N_FORMS:
			request->selectivity = PART_OF_ALL_ROWS;
			break;
	}
	return true;
}

Datum
smart_row_check_support(PG_FUNCTION_ARGS)
{
	Node *request = (Node *) PG_GETARG_POINTER(0);

	if (IsA(request, SupportRequestSelectivity) && estimate((SupportRequestSelectivity *) request))
		PG_RETURN_POINTER(request);
	PG_RETURN_POINTER(NULL);
}
