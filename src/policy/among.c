/*
 * src/policy/among.c
 *		smart_internal.among_patients(): is a row's one key among the several patients of the session?
 *
 * What key = ANY (smart_internal.patient_keys(..)) says, and as an index condition it is just that. As a filter
 * it looks the key up in a sorted list instead of comparing it with each patient: PostgreSQL
 * hashes an array only when it is a constant, and a constant would be of one session. Checks
 * itself as the other functions of src/policy/patient.c do.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/uuid.h"

#include "compat.h"
#include "policy/policy.h"
#include "policy/patient.h"
#include "session/session.h"

PG_FUNCTION_INFO_V1(smart_among_patients);
PG_FUNCTION_INFO_V1(smart_among_patients_support);

/* Arguments of smart_internal.among_patients(). */
enum
{
	AMONG_KEY,
	AMONG_COMMAND,
	AMONG_TYPE,
	AMONG_OPTIONS,
	AMONG_N_ARGS
};

/* Kept in fn_extra: the patients in order, until the session or the statement is another. */
typedef struct AmongState
{
	PatientCheck check;
	bool is_uuid;
	int n;
	FhirText *sorted;
	void *memory; /* the array that sorted points into */
} AmongState;

static int
compare_texts(const void *a, const void *b)
{
	const FhirText *left = a;
	const FhirText *right = b;
	int order = memcmp(left->data, right->data, Min(left->len, right->len));

	return order != 0 ? order : left->len - right->len;
}

static FhirText
key_bytes(Datum value, bool is_uuid)
{
	text *key;

	if (is_uuid)
		return (FhirText){(const char *) DatumGetUUIDP(value)->data, UUID_LEN};
	key = DatumGetTextPP(value);
	return (FhirText){VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key)};
}

static void
sort_patients(AmongState *state, ArrayType *patients)
{
	Datum *elements;
	bool *nulls;

	deconstruct_array(patients,
					  state->is_uuid ? UUIDOID : TEXTOID,
					  state->is_uuid ? UUID_LEN : -1,
					  false,
					  state->is_uuid ? TYPALIGN_CHAR : TYPALIGN_INT,
					  &elements,
					  &nulls,
					  &state->n);
	state->sorted = palloc(sizeof(FhirText) * Max(state->n, 1));
	for (int i = 0; i < state->n; i++)
		state->sorted[i] = key_bytes(elements[i], state->is_uuid);
	qsort(state->sorted, state->n, sizeof(FhirText), compare_texts);
	state->memory = patients;
	pfree(elements);
	pfree(nulls);
}

Datum
smart_among_patients(PG_FUNCTION_ARGS)
{
	AmongState *state = fcinfo->flinfo->fn_extra;
	FhirText key;

	if (state == NULL)
	{
		if (PG_ARGISNULL(AMONG_COMMAND) || PG_ARGISNULL(AMONG_OPTIONS))
			PG_RETURN_BOOL(false);
		state = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(AmongState));
		state->is_uuid = get_fn_expr_argtype(fcinfo->flinfo, AMONG_KEY) == UUIDOID;
		patient_check_init(&state->check, fcinfo->flinfo->fn_mcxt);
		fcinfo->flinfo->fn_extra = state;
	}
	if (patient_check_is_stale(&state->check))
	{
		MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		ArrayType *patients;

		state->n = 0;
		if (state->memory != NULL)
		{
			pfree(state->memory);
			pfree(state->sorted);
			state->memory = NULL;
		}
		patients = PG_ARGISNULL(AMONG_COMMAND) || PG_ARGISNULL(AMONG_OPTIONS)
					   ? NULL
					   : patient_check_again(
							 &state->check,
							 PG_GETARG_TEXT_PP(AMONG_COMMAND),
							 PG_ARGISNULL(AMONG_TYPE) ? NULL : PG_GETARG_TEXT_PP(AMONG_TYPE),
							 PG_GETARG_JSONB_P(AMONG_OPTIONS),
							 state->is_uuid);
		if (patients != NULL)
			sort_patients(state, patients);
		MemoryContextSwitchTo(old);
	}
	if (state->n == 0 || PG_ARGISNULL(AMONG_KEY))
		PG_RETURN_BOOL(false);
	key = key_bytes(PG_GETARG_DATUM(AMONG_KEY), state->is_uuid);
	PG_RETURN_BOOL(bsearch(&key, state->sorted, state->n, sizeof(FhirText), compare_texts) != NULL);
}

/* key = ANY (smart_internal.patient_keys(..)), or NULL. */
static Expr *
as_any(Oid funcid, List *args)
{
	static const Oid argtypes[] = {TEXTOID, TEXTOID, JSONBOID};
	Node *key = list_nth(args, AMONG_KEY);
	bool is_uuid = exprType(key) == UUIDOID;
	Const *options = list_nth(args, AMONG_OPTIONS);
	ScalarArrayOpExpr *any;
	const char *name;
	Oid function;

	if (!IsA(options, Const) || options->constisnull)
		return NULL;
	name = is_uuid															 ? "patient_uuids"
		   : policy_keys_are_references(DatumGetJsonbP(options->constvalue)) ? "patient_references"
																			 : "patient_keys";
	function = policy_function_beside(funcid, name, 3, argtypes);
	if (!OidIsValid(function))
		return NULL;
	any = makeNode(ScalarArrayOpExpr);
	any->opno = is_uuid ? UUID_EQUAL_OPERATOR : TextEqualOperator;
	any->opfuncid = get_opcode(any->opno);
	any->useOr = true;
	any->inputcollid = is_uuid ? InvalidOid : exprCollation(key);
	if (!is_uuid && !OidIsValid(any->inputcollid))
		any->inputcollid = DEFAULT_COLLATION_OID;
	any->args = list_make2(key,
						   makeFuncExpr(function,
										is_uuid ? UUIDARRAYOID : TEXTARRAYOID,
										list_copy_tail(args, AMONG_COMMAND),
										InvalidOid,
										is_uuid ? InvalidOid : DEFAULT_COLLATION_OID,
										COERCE_EXPLICIT_CALL));
	any->location = -1;
	return (Expr *) any;
}

static Node *
index_condition(SupportRequestIndexCondition *request)
{
	FuncExpr *call = (FuncExpr *) request->node;
	Expr *any;

	if (!IsA(call, FuncExpr) || request->indexarg != AMONG_KEY ||
		list_length(call->args) != AMONG_N_ARGS)
		return NULL;
	any = as_any(request->funcid, call->args);
	/* only an index of the operator's own family and collation gives the same answer */
	if (any == NULL || !op_in_opfamily(((ScalarArrayOpExpr *) any)->opno, request->opfamily) ||
		(OidIsValid(request->indexcollation) &&
		 request->indexcollation != ((ScalarArrayOpExpr *) any)->inputcollid))
		return NULL;
	request->lossy = false;
	return (Node *) list_make1(any);
}

Datum
smart_among_patients_support(PG_FUNCTION_ARGS)
{
	Node *node = (Node *) PG_GETARG_POINTER(0);

	if (IsA(node, SupportRequestIndexCondition))
		PG_RETURN_POINTER(index_condition((SupportRequestIndexCondition *) node));
	if (IsA(node, SupportRequestSelectivity))
	{
		SupportRequestSelectivity *request = (SupportRequestSelectivity *) node;
		Expr *any = list_length(request->args) == AMONG_N_ARGS
						? as_any(request->funcid, request->args)
						: NULL;

		if (any != NULL)
		{
			request->selectivity = clause_selectivity(
				request->root, (Node *) any, request->varRelid, request->jointype, request->sjinfo);
			PG_RETURN_POINTER(request);
		}
	}
	PG_RETURN_POINTER(NULL);
}
