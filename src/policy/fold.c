/*
 * src/policy/fold.c
 *		Planner support of smart_internal.row_policy(): the policy as what the session needs of it.
 *
 * A call of row_policy() is replaced, at plan time, by one of these forms (src/policy/forms.h):
 *
 *	ONE				key = smart.patient_key(..)			keys && smart_internal.patient_keys(..)
 *	SEVERAL			key = ANY (smart_internal.patient_keys(..))	keys && smart_internal.patient_keys(..)
 *	DOZENS, MANY	smart_internal.among_patients(key, ..)		keys && smart_internal.patient_keys(..)
 *	ONE_WITHIN		key = smart_internal.session_patient() AND row_check(..)		and likewise
 *	SEVERAL_WITHIN	key = ANY (smart_internal.session_patients()) AND row_check(..)
 *	ALL				TRUE
 *	BY_ROW			row_check(..)
 *
 * on the left for a scalar key (DOZENS as SEVERAL where the key is computed: a search costs less
 * than comparing, but is done for each row that a bitmap gives), on the right for an array of
 * keys. row_check() is the same C
 * function without planner support; keys that it can find in the resource itself are not
 * computed for it.
 *
 * Why no form shows too much:
 *
 * 1. row_check() is the whole decision under the session of the moment, and false once that
 *	  is another one than the statement started with. So a form with row_check() in it can show
 *	  too little, never too much, whatever plan it stands in.
 * 2. smart.patient_key() and its like are NULL, or an empty array, unless the decision under the
 *	  session of the moment is "the rows of these patients, all of them, and nothing else", and
 *	  the statement started under that session. A comparison with NULL lets no row pass.
 * 3. The key of a regular row is all that the decision then asks of it. ONE to MANY stand
 *	  without row_check() only where an irregular row cannot pass: computed arrays are empty for
 *	  what is no resource of its table's type and hold each patient of the others; other keys
 *	  only while the table's index of irregular rows is empty.
 *	  A key of a nondeterministic collation is compared beside row_check().
 * 4. TRUE stands only where every regular row is allowed and the index of irregular rows is
 *	  empty.
 * 5. What 3 and 4 rest on is asked again when a plan starts (src/policy/guard.c): the form of
 *	  each call, under the session of the moment, and that each index is still empty; of
 *	  partitioned tables the partitions that are left of the plan. If not, another plan of the same
 *	  query takes its place (src/policy/replan.c). A cursor's FETCH asks again about each form.
 * 6. So a form other than BY_ROW needs a plan that the guard will see, and can make again: they are
 *	  made only inside our planner hook, for the query that it was called with. Where another
 *	  hook goes round ours, or the library is loaded in the middle, row_check() stands.
 * 7. New rows are in no index yet. Their policies, and PostgreSQL asks the SELECT policy about
 *	  them as well, are not folded (src/policy/guard.c).
 *
 * Why no form shows too little: each is made for the form that the call has under the session
 * in force, and under another form another plan is taken (5). Every row that a WITHIN session
 * may touch has one of its patients as key: reads ask for a member, and members are the keys; writes ask for a subject, and subjects
 * are members in both readings; where the table stores the keys, both ask for one of them.
 * Irregular rows may have their key in another spelling, or stand for several patients: while
 * there may be some, a scalar key is compared with all that it may be.
 *
 * Only the form is folded. Who the patients are is asked when the plan runs, so sessions of the
 * same form share plans.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "policy/call.h"
#include "policy/options.h"
#include "policy/forms.h"
#include "policy/regular.h"
#include "policy/statement.h"
#include "session/session.h"
#include "session/stat.h"

PG_FUNCTION_INFO_V1(smart_row_policy_support);

/* The keys of a call, and the names of the functions that they are compared with. */
typedef struct Keys
{
	Expr *expr;	  /* NULL: no form that an index can answer */
	Oid type;	  /* TEXTOID or UUIDOID */
	bool array;	  /* keys && .. */
	bool exact;	  /* bytes are compared: a deterministic collation */
	bool stored;  /* by the table, else computed from the resource */
	bool spelled; /* array, or all regular rows spell their key in the same way */
	bool
		known; /* stored, or as smart_internal.row_patients() and row_patient() find them in the row */
	const char *session_patient;
	const char *session_patients;
	const char *patient_key;
	const char *patient_keys;
} Keys;

/* smart_internal.row_patients() or row_patient() of the same row that the policy is asked about? */
static bool
is_computed(FuncExpr *call, FuncExpr *keys)
{
	static const int args[] = {POLICY_RESOURCE, POLICY_TYPE, POLICY_ID};
	const char *name;

	if (!IsA(keys, FuncExpr) || list_length(keys->args) < (int) lengthof(args) ||
		get_func_namespace(keys->funcid) != get_func_namespace(call->funcid))
		return false;
	name = get_func_name(keys->funcid);
	if (strcmp(name, "row_patients") != 0 && strcmp(name, "row_patient") != 0)
		return false;
	for (size_t i = 0; i < lengthof(args); i++)
		if (!equal(list_nth(keys->args, i), list_nth(call->args, args[i])))
			return false;
	return true;
}

static void
describe_keys(FuncExpr *call, const AccessTable *table, Keys *keys)
{
	Expr *expr = copyObject(list_nth(call->args, POLICY_PATIENTS));
	Jsonb *options = DatumGetJsonbP(((Const *) list_nth(call->args, POLICY_OPTIONS))->constvalue);
	Oid type = exprType((Node *) expr);
	Oid element = get_element_type(type);
	Oid collation;
	const char *form = NULL;
	bool references = false;

	memset(keys, 0, sizeof(*keys));
	keys->stored = table->has_patients;
	keys->known = keys->stored || is_computed(call, (FuncExpr *) expr);
	keys->array = OidIsValid(element);
	keys->type = keys->array ? element : type;
	if (keys->type == VARCHAROID)
	{
		/* binary compatible; indexes on the column itself still match */
		keys->type = TEXTOID;
		expr = (Expr *) makeRelabelType(expr,
										keys->array ? TEXTARRAYOID : TEXTOID,
										-1,
										exprCollation((Node *) expr),
										COERCE_IMPLICIT_CAST);
	}
	if (keys->type != TEXTOID && keys->type != UUIDOID)
		return;
	collation = exprCollation((Node *) expr);
	keys->exact =
		keys->type == UUIDOID || !OidIsValid(collation) || get_collation_isdeterministic(collation);
	if (keys->stored && keys->type == TEXTOID)
	{
		form = policy_option_text(options, "patients_form");
		references = form == NULL || strcmp(form, "reference") == 0;
	}
	keys->spelled = keys->array || keys->type == UUIDOID || !keys->stored || form != NULL;
	if (keys->type == UUIDOID)
	{
		keys->session_patient = "session_patient_uuid";
		keys->session_patients = "session_patient_uuids";
		keys->patient_key = "patient_uuid";
		keys->patient_keys = "patient_uuids";
	}
	else if (references || (keys->stored && keys->array))
	{
		keys->session_patient = "session_patient_reference";
		keys->session_patients = "session_patient_references";
		keys->patient_key = "patient_reference";
		keys->patient_keys = "patient_references";
	}
	else
	{
		keys->session_patient = "session_patient";
		/* beside irregular rows of the other spelling it does no harm */
		keys->session_patients = "session_patients";
		keys->patient_key = "patient_key";
		keys->patient_keys = "patient_keys";
	}
	keys->expr = expr;
}

/* key = value, key = ANY (values) or keys && values. */
static Expr *
compare(const Keys *keys, Expr *value, bool several)
{
	/* an index is matched by collation too: that of the id column may be in the keys' */
	Oid collation = exprCollation((Node *) keys->expr);
	Expr *expr = copyObject(keys->expr);

	if (keys->type == UUIDOID)
		collation = InvalidOid;
	else if (!OidIsValid(collation))
		collation = DEFAULT_COLLATION_OID;
	if (keys->array)
		return make_opclause(
			OID_ARRAY_OVERLAP_OP, BOOLOID, false, expr, value, InvalidOid, collation);
	if (several)
	{
		ScalarArrayOpExpr *any = makeNode(ScalarArrayOpExpr);

		any->opno = keys->type == UUIDOID ? UUID_EQUAL_OPERATOR : TextEqualOperator;
		any->opfuncid = keys->type == UUIDOID ? F_UUID_EQ : F_TEXTEQ;
		any->useOr = true;
		any->inputcollid = collation;
		any->args = list_make2(expr, value);
		any->location = -1;
		return (Expr *) any;
	}
	return make_opclause(keys->type == UUIDOID ? UUID_EQUAL_OPERATOR : TextEqualOperator,
						 BOOLOID,
						 false,
						 expr,
						 value,
						 InvalidOid,
						 collation);
}

static Oid
value_type(const Keys *keys, bool array)
{
	if (array)
		return keys->type == UUIDOID ? UUIDARRAYOID : TEXTARRAYOID;
	return keys->type;
}

/* The keys against whoever the session reaches; NULL when that cannot be said. */
static Expr *
compare_session(FuncExpr *call, const Keys *keys, bool several)
{
	bool array = several || keys->array;
	Oid function = policy_function_beside(
		call->funcid, array ? keys->session_patients : keys->session_patient, 0, NULL);
	Oid type = value_type(keys, array);

	if (!OidIsValid(function))
		return NULL;
	return compare(
		keys,
		(Expr *) makeFuncExpr(function, type, NIL, InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
		several);
}

/* The keys against the patients of the decision, which check themselves. */
static Expr *
compare_checked(FuncExpr *call, const Keys *keys, PolicyForm form)
{
	const Oid argtypes[] = {keys->type, TEXTOID, TEXTOID, JSONBOID};
	Oid collation = exprCollation((Node *) keys->expr);
	bool many = !keys->array && (form == POLICY_MANY || (form == POLICY_DOZENS && keys->stored));
	bool several = !keys->array && !many && form != POLICY_ONE;
	bool array = several || keys->array;
	Oid type = value_type(keys, array);
	Node *resource_type = list_nth(call->args, POLICY_TYPE);
	Oid function;
	List *args;

	function =
		many ? policy_function_beside(call->funcid, "among_patients", 4, argtypes)
			 : policy_function_beside(
				   call->funcid, array ? keys->patient_keys : keys->patient_key, 3, argtypes + 1);
	if (!OidIsValid(function))
		return NULL;
	if (!IsA(resource_type, Const))
		resource_type = (Node *) makeNullConst(TEXTOID, -1, DEFAULT_COLLATION_OID);
	args = list_make3(copyObject(list_nth(call->args, POLICY_COMMAND)),
					  copyObject(resource_type),
					  copyObject(list_nth(call->args, POLICY_OPTIONS)));
	/* an index sees key = ANY (smart_internal.patient_keys(..)) in it */
	if (many)
		return (Expr *) makeFuncExpr(function,
									 BOOLOID,
									 lcons(copyObject(keys->expr), args),
									 InvalidOid,
									 keys->type == UUIDOID ? InvalidOid : collation,
									 COERCE_EXPLICIT_CALL);
	return compare(keys,
				   (Expr *) makeFuncExpr(function,
										 type,
										 args,
										 type == TEXTOID ? DEFAULT_COLLATION_OID : InvalidOid,
										 DEFAULT_COLLATION_OID,
										 COERCE_EXPLICIT_CALL),
				   several);
}

/* The number of the call, or 0 when it cannot be folded: a check, an expression for a constant. */
static PolicyCall
find_call(FuncExpr *call)
{
	Const *command = list_nth(call->args, POLICY_COMMAND);
	Const *type = list_nth(call->args, POLICY_TYPE);
	Const *options = list_nth(call->args, POLICY_OPTIONS);

	if (!IsA(command, Const) || command->constisnull || !IsA(options, Const) ||
		options->constisnull || (IsA(type, Const) && type->constisnull))
		return 0;
	return policy_call_find(DatumGetTextPP(command->constvalue),
							IsA(type, Const) ? DatumGetTextPP(type->constvalue) : NULL,
							DatumGetJsonbP(options->constvalue));
}

/* Told to the plan that is made: it has a call in this form. */
static void
note_form(FuncExpr *call, PolicyForm form)
{
	Node *type = list_nth(call->args, POLICY_TYPE);

	stat_count(STAT_FORMS_PLANNED);
	if (!IsA(type, Const))
		type = (Node *) makeNullConst(TEXTOID, -1, DEFAULT_COLLATION_OID);
	statement_note_call(list_make3(list_nth(call->args, POLICY_COMMAND),
								   type,
								   list_nth(call->args, POLICY_OPTIONS)),
						form);
}

static Node *
simplify(SupportRequestSimplify *request)
{
	FuncExpr *call = request->fcall;
	PolicyCall number;
	PolicyForm form;
	FuncExpr *check;
	const AccessTable *call_table;
	Keys keys = {0};
	Oid table = InvalidOid;
	Oid index = InvalidOid;
	Expr *condition = NULL;
	bool regular;
	int levels;

	if (request->root == NULL || list_length(call->args) < POLICY_N_ARGS)
		return NULL;
	statement_note_policy();
	/* right under every session, where nobody would see that the form does not fit */
	if (!statement_is_query(request->root))
		return (Node *) policy_as_row_check(call);
	number = find_call(call);
	if (number == 0)
		return (Node *) policy_as_row_check(call);

	form = policy_call_form(number, session_current(), &levels);
	if (form == POLICY_BY_ROW)
	{
		note_form(call, form);
		return (Node *) policy_as_row_check(call);
	}
	call_table = policy_call_table(number);
	regular = regular_rows(request->root, call, call_table->has_patients, &table, &index);

	if (form == POLICY_ALL)
	{
		if (regular)
		{
			note_form(call, POLICY_ALL);
			statement_note_regular(table, index);
			return makeBoolConst(true, false);
		}
		form = POLICY_ALL_BY_ROW;
	}
	else
		describe_keys(call, call_table, &keys);
	if (keys.expr != NULL)
	{
		bool several = !keys.array && form != POLICY_ONE && form != POLICY_ONE_WITHIN;
		bool whole = policy_form_is_whole(form);

		if (whole && keys.exact && keys.spelled && keys.known &&
			(regular || (keys.array && !keys.stored)))
		{
			condition = compare_checked(call, &keys, form);
			if (condition != NULL)
			{
				note_form(call, form);
				if (!keys.array || keys.stored)
					statement_note_regular(table, index);
				return (Node *) condition;
			}
		}
		if (keys.array || (regular && keys.spelled))
			condition = compare_session(call, &keys, several);
		if (condition != NULL && !keys.array)
			statement_note_regular(table, index);
		if (condition == NULL)
		{
			/* both spellings, or the mark of several patients */
			if (keys.stored && keys.type == TEXTOID)
				keys.session_patients = "session_patient_references";
			else if (!keys.stored)
				keys.session_patients = "session_patient_marks";
			condition = compare_session(call, &keys, true);
		}
	}
	check = policy_as_row_check(call);
	if (check == NULL)
		return NULL;
	note_form(call, form);
	if (condition == NULL)
		return (Node *) check;
	return (Node *) makeBoolExpr(AND_EXPR, list_make2(condition, check), -1);
}

Datum
smart_row_policy_support(PG_FUNCTION_ARGS)
{
	Node *request = (Node *) PG_GETARG_POINTER(0);

	if (IsA(request, SupportRequestSimplify))
		PG_RETURN_POINTER(simplify((SupportRequestSimplify *) request));
	PG_RETURN_POINTER(NULL);
}
