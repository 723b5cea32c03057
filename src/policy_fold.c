/*
 * src/policy_fold.c
 *		Planner support of smart.row_policy(): what an index can answer of the decision.
 *
 * When all that a session may touch lies in listed patients' compartments, the call
 *
 *		row_policy(cmd, keys, ...)
 *
 * becomes, at plan time,
 *
 *		keys && smart.session_patients()  AND  row_check(cmd, keys, ...)
 *
 * (= ANY for a scalar key), where row_check() is the same C function without planner support.
 * Where the keys come from the resource, row_check() gets NULL for them and finds them itself
 * when it needs them: so no array is built for a row, in any session.
 *
 * Sound: the whole decision is still there, so a plan that outlived its session can show too
 * little but never too much. Complete: in a narrow session every allowed row of a table that
 * is not shared has a key among the reached patients, for each letter: reads ask for a member
 * (members are the keys); writes ask for a subject, and subjects are members in both readings;
 * where the table stores the keys, reads and writes both ask for one of them. Only the shape
 * is folded, the ids stay a STABLE call: narrow sessions share plans.
 *
 * A broad session (system/, or user/ with user_sees_all) must not run a folded plan. Plans
 * made under the other kind of session are dropped when the kind changes; while nobody is
 * logged in nothing is dropped, and what is planned then counts as narrow. Sessions of one
 * kind on one connection so never replan.
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

#include "compat.h"
#include "guard.h"
#include "policy.h"
#include "session.h"

PG_FUNCTION_INFO_V1(smart_row_policy_support);
PG_FUNCTION_INFO_V1(smart_session_patients);
PG_FUNCTION_INFO_V1(smart_session_patient_references);
PG_FUNCTION_INFO_V1(smart_session_patient_uuids);

/* pg_operator.dat: uuid = uuid has no symbol of its own in all versions. */
#define UUID_EQUAL_OPERATOR 2972

/* Kinds of session that plans were made under since they were last dropped. */
static bool narrow_plans = false;
static bool broad_plans = false;

static void
session_changed(const Session *session)
{
	if (session == NULL)
		return;
	if (session->broad ? narrow_plans : broad_plans)
	{
		ResetPlanCache();
		narrow_plans = false;
		broad_plans = false;
	}
}

void
policy_fold_init(void)
{
	session_on_change(session_changed);
}

/* A function of schema smart without arguments, or with the arguments of row_policy(). */
static Oid
function_beside(Oid row_policy, const char *name, int nargs, const Oid *argtypes)
{
	oidvector  *types = buildoidvector(argtypes, nargs);

	return GetSysCacheOid3(PROCNAMEARGSNSP,
						   Anum_pg_proc_oid,
						   CStringGetDatum(name),
						   PointerGetDatum(types),
						   ObjectIdGetDatum(get_func_namespace(row_policy)));
}

/* keys && f() or key = ANY (f()); NULL for a type that has no such form. */
static Expr *
index_condition(Oid row_policy, Expr *keys, bool stored)
{
	Oid			type = exprType((Node *) keys);
	Oid			element = get_element_type(type);
	Oid			base = OidIsValid(element) ? element : type;
	Oid			array = base == UUIDOID ? UUIDARRAYOID : TEXTARRAYOID;
	const char *name = base == UUIDOID ? "session_patient_uuids"
					   : stored		   ? "session_patient_references"
									   : "session_patients";
	Oid			function = function_beside(row_policy, name, 0, NULL);
	Expr	   *values;

	if (base == VARCHAROID)
	{
		/* binary compatible; indexes on the column itself still match */
		base = TEXTOID;
		keys = (Expr *) makeRelabelType(keys,
										OidIsValid(element) ? TEXTARRAYOID : TEXTOID,
										-1,
										exprCollation((Node *) keys),
										COERCE_IMPLICIT_CAST);
	}
	if (!OidIsValid(function) || (base != UUIDOID && base != TEXTOID))
		return NULL;
	values = (Expr *) makeFuncExpr(function, array, NIL, InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	if (OidIsValid(element))
	{
		/* an index is matched by collation too: that of the id column may be in the keys' */
		Oid			collation = exprCollation((Node *) keys);

		if (base != UUIDOID && !OidIsValid(collation))
			collation = DEFAULT_COLLATION_OID;
		return make_opclause(OID_ARRAY_OVERLAP_OP, BOOLOID, false, keys, values, InvalidOid, collation);
	}
	else
	{
		ScalarArrayOpExpr *any = makeNode(ScalarArrayOpExpr);

		any->opno = base == UUIDOID ? UUID_EQUAL_OPERATOR : TextEqualOperator;
		any->opfuncid = base == UUIDOID ? F_UUID_EQ : F_TEXTEQ;
		any->useOr = true;
		any->inputcollid = base == UUIDOID ? InvalidOid : exprCollation((Node *) keys);
		any->args = list_make2(keys, values);
		any->location = -1;
		if (base != UUIDOID && !OidIsValid(any->inputcollid))
			any->inputcollid = DEFAULT_COLLATION_OID;
		return (Expr *) any;
	}
}

/*
 * Is the call one whose rows all have a key among a narrow session's patients? *stored: the
 * table stores the keys; true also when the call cannot be read.
 */
static bool
foldable(FuncExpr *call, bool *stored)
{
	Const	   *command = (Const *) list_nth(call->args, POLICY_COMMAND);
	Const	   *options = (Const *) list_nth(call->args, POLICY_OPTIONS);
	AccessTable table;
	char	   *name;

	*stored = true;
	if (!IsA(command, Const) || command->constisnull || !IsA(options, Const) || options->constisnull)
		return false;
	policy_options(DatumGetJsonbP(options->constvalue), &table);
	*stored = table.has_patients;
	name = TextDatumGetCString(command->constvalue);
	if (strcmp(name, "SELECT") != 0 && strcmp(name, "UPDATE") != 0 && strcmp(name, "DELETE") != 0)
		return false;
	return table.shared == SHARED_NO;
}

static Node *
simplify(SupportRequestSimplify *request)
{
	FuncExpr   *call = request->fcall;
	const Session *session = session_current();
	Oid			argtypes[POLICY_N_ARGS] = {TEXTOID, ANYOID, JSONBOID, TEXTOID, TEXTOID, JSONBOID};
	Oid			row_check;
	bool		narrow;
	bool		stored;
	Expr	   *condition;
	FuncExpr   *rest;

	if (request->root == NULL || list_length(call->args) != POLICY_N_ARGS)
		return NULL;
	guard_note_policy();
	row_check = function_beside(call->funcid, "row_check", POLICY_N_ARGS, argtypes);
	if (!OidIsValid(row_check))
		return NULL;
	narrow = foldable(call, &stored);
	rest = copyObject(call);
	rest->funcid = row_check;
	/* keys that row_check() can find in the resource are not worth an array a row */
	if (!stored)
		lfirst(list_nth_cell(rest->args, POLICY_PATIENTS)) = makeNullConst(TEXTARRAYOID, -1, DEFAULT_COLLATION_OID);
	if (session != NULL && session->broad)
	{
		broad_plans = true;
		return (Node *) rest;
	}
	if (!narrow)
		return (Node *) rest;
	condition = index_condition(call->funcid, copyObject(list_nth(call->args, POLICY_PATIENTS)), stored);
	if (condition == NULL)
		return (Node *) rest;
	narrow_plans = true;
	return (Node *) makeBoolExpr(AND_EXPR, list_make2(condition, rest), -1);
}

Datum
smart_row_policy_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);

	if (IsA(request, SupportRequestSimplify))
		PG_RETURN_POINTER(simplify((SupportRequestSimplify *) request));
	PG_RETURN_POINTER(NULL);
}

/* Append the texts of a list as elements; each also as a reference when asked. */
static int
append_patients(const Session *session, SessionTexts texts, Datum *elements, int n, bool references)
{
	const char *id = session_texts_first(session, texts);

	for (int i = 0; i < texts.n; i++, id = session_texts_next(id))
	{
		elements[n++] = CStringGetTextDatum(id);
		if (references)
			elements[n++] = CStringGetTextDatum(psprintf("Patient/%s", id));
	}
	return n;
}

/* All patients that patient/ or user/ scopes reach; empty without a session. */
static Datum
reached(bool references)
{
	const Session *session = session_current();
	Datum	   *elements;
	int			n = 0;

	if (session == NULL)
		return PointerGetDatum(construct_empty_array(TEXTOID));
	elements = palloc(sizeof(Datum) * (2 * (session->patients.n + session->user_patients.n) + 1));
	n = append_patients(session, session->patients, elements, n, references);
	n = append_patients(session, session->user_patients, elements, n, references);
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

Datum
smart_session_patients(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(reached(false));
}

Datum
smart_session_patient_references(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(reached(true));
}

/* Hyphenated uuids among them: the decision compares uuid keys in that form. */
static int
append_uuids(const Session *session, SessionTexts texts, Datum *elements, int n)
{
	const char *id = session_texts_first(session, texts);

	for (int i = 0; i < texts.n; i++, id = session_texts_next(id))
	{
		bool		is_uuid = strlen(id) == 36;

		for (int c = 0; c < 36 && is_uuid; c++)
			is_uuid = (c == 8 || c == 13 || c == 18 || c == 23) ? id[c] == '-' : isxdigit((unsigned char) id[c]) != 0;
		if (is_uuid)
			elements[n++] = DirectFunctionCall1(uuid_in, CStringGetDatum(id));
	}
	return n;
}

Datum
smart_session_patient_uuids(PG_FUNCTION_ARGS)
{
	const Session *session = session_current();
	Datum	   *elements;
	int			n = 0;

	if (session == NULL)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(UUIDOID));
	elements = palloc(sizeof(Datum) * (session->patients.n + session->user_patients.n + 1));
	n = append_uuids(session, session->patients, elements, n);
	n = append_uuids(session, session->user_patients, elements, n);
	PG_RETURN_ARRAYTYPE_P(construct_array(elements, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}
