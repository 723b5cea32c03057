/*
 * src/session/context.c
 *		The context functions of an issuer, called while somebody logs in.
 *
 * A function is found by its schema, its name and the type of its argument, never along a search
 * path: what the caller has put in front of one, a type in pg_temp or an overload, is not looked at.
 * It runs with the caller's rights, and while it does nobody is logged in. Without a search_path of
 * its own it runs under that of pg_catalog and the schema it is in. An error in it is a fault of the
 * set-up: it goes to the server log, for the administrator, and the login fails. Knows nothing of tokens.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "utils/varlena.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "fhir/fhir.h"
#include "session/context.h"
#include "session/session.h"

/* schema.name(type) to schema and name; false when it is something else. */
static bool
split_name(const char *text, Oid argtype, char **schema, char **name)
{
	char *copy = pstrdup(text);
	char *arguments = strrchr(copy, '(');
	const char *wanted = argtype == TEXTOID ? "text" : "jsonb";
	List *names;
	size_t len;

	if (arguments == NULL)
		return false;
	*arguments++ = '\0';
	len = strlen(arguments);
	if (len == 0 || arguments[len - 1] != ')')
		return false;
	arguments[len - 1] = '\0';
	if (strncmp(arguments, "pg_catalog.", 11) == 0)
		arguments += 11;
	if (strcmp(arguments, wanted) != 0)
		return false;
	if (!SplitIdentifierString(copy, '.', &names) || list_length(names) != 2)
		return false;
	*schema = linitial(names);
	*name = lsecond(names);
	return true;
}

/* The function of this qualified name, with no look at any search path; *path is the one to run it under. */
static Oid
find_function(const char *text, Oid argtype, char **path)
{
	char *schema;
	char *name;
	Oid namespace;
	HeapTuple tuple;
	Form_pg_proc proc;
	Oid function;

	if (!split_name(text, argtype, &schema, &name))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_FUNCTION),
				errmsg("\"%s\" is no qualified name of a function that takes one %s",
					   text,
					   format_type_be(argtype)),
				errhint("Register it with smart.add_issuer()."));
	namespace = get_namespace_oid(schema, true);
	/* the temporary schema of a session is another session's tomorrow, and whose functions are in it then? */
	tuple = OidIsValid(namespace) && !isAnyTempNamespace(namespace)
				? SearchSysCache3(PROCNAMEARGSNSP,
								  CStringGetDatum(name),
								  PointerGetDatum(buildoidvector(&argtype, 1)),
								  ObjectIdGetDatum(namespace))
				: NULL;
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_FUNCTION),
				errmsg("function %s does not exist", text),
				errhint("Make it again, or register another one with smart.add_issuer()."));
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	function = proc->oid;
	if (proc->prorettype != TEXTARRAYOID || proc->proretset || proc->prokind != PROKIND_FUNCTION)
		ereport(ERROR,
				errcode(ERRCODE_DATATYPE_MISMATCH),
				errmsg("function %s does not return text[]", text));
	*path = psprintf("pg_catalog, %s, pg_temp", quote_identifier(schema));
	ReleaseSysCache(tuple);
	return function;
}

static List *
call(Oid function, Datum argument, MemoryContext context, bool *answered, int *n_unusable)
{
	FmgrInfo flinfo;
	LOCAL_FCINFO(fcinfo, 1);
	Datum result;
	Datum *elements;
	bool *nulls;
	int n;
	List *ids = NIL;
	MemoryContext old;

	/* the caller needs EXECUTE, as if it had written the call itself */
	compat_check_execute(function);
	fmgr_info(function, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 1, DEFAULT_COLLATION_OID, NULL, NULL);
	fcinfo->args[0].value = argument;
	fcinfo->args[0].isnull = false;
	result = FunctionCallInvoke(fcinfo);
	if (fcinfo->isnull)
		return NIL;
	*answered = true;
	deconstruct_array(
		DatumGetArrayTypeP(result), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	old = MemoryContextSwitchTo(context);
	for (int i = 0; i < n; i++)
	{
		char *id = nulls[i] ? NULL : TextDatumGetCString(elements[i]);

		if (id != NULL && fhir_id_is_valid(id, strlen(id)) &&
			list_length(ids) < MAX_CONTEXT_PATIENTS)
			ids = lappend(ids, id);
		else if (id != NULL)
			(*n_unusable)++;
	}
	MemoryContextSwitchTo(old);
	return ids;
}

/* Faults that are none of the function's: cancelled, to be tried again, out of resources. */
static bool
is_passing(int sqlerrcode)
{
	int category = ERRCODE_TO_CATEGORY(sqlerrcode);

	return category == ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK) ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_QUERY_CANCELED) ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES);
}

/*
 * The function's own error to the server log alone; to the client what a program can act on. Its
 * words may hold what the function has read; a DETAIL, where PostgreSQL prints keys and rows, is
 * left out unless log_error_verbosity is verbose.
 */
static void
raise_fault(const char *option, const char *name, const ErrorData *fault)
{
	ereport(LOG_SERVER_ONLY,
			errcode(fault->sqlerrcode),
			errmsg("context function %s (%s) failed: %s", name, option, fault->message),
			fault->detail != NULL && Log_error_verbosity >= PGERROR_VERBOSE
				? errdetail_internal("%s", fault->detail)
				: 0,
			fault->hint != NULL ? errhint("%s", fault->hint) : 0,
			fault->context != NULL ? errcontext("%s", fault->context) : 0,
			errhidestmt(true));
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("the issuer's context function failed"),
			errdetail("The function of the option %s raised SQLSTATE %s.",
					  option,
					  unpack_sql_state(fault->sqlerrcode)),
			errhint("The server log has its error. smart.add_issuer(%s => ...) names the function; "
					"whoever logs in needs EXECUTE on it.",
					option),
			errhidestmt(true),
			errhidecontext(true),
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "context_function"));
}

List *
session_context_call(const char *option, const char *name, Oid argtype, Datum argument,
					 bool *answered, int *n_unusable)
{
	static const char *const calendar[][2] = {
		{"TimeZone", "UTC"}, {"DateStyle", "ISO, YMD"}, {"IntervalStyle", "postgres"}};
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile fault = NULL;
	List *volatile ids = NIL;

	*answered = false;
	*n_unusable = 0;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		char *path;
		Oid function = find_function(name, argtype, &path);
		int nest = NewGUCNestLevel();

		(void) set_config_option(
			"search_path", path, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
		/* nor may the caller's calendar or an old snapshot of his steer the answer */
		for (size_t i = 0; i < lengthof(calendar); i++)
			(void) set_config_option(calendar[i][0],
									 calendar[i][1],
									 PGC_USERSET,
									 PGC_S_SESSION,
									 GUC_ACTION_SAVE,
									 true,
									 0,
									 false);
		PushActiveSnapshot(GetLatestSnapshot());
		ids = call(function, argument, caller, answered, n_unusable);
		PopActiveSnapshot();
		AtEOXact_GUC(true, nest);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		fault = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	if (fault != NULL && is_passing(fault->sqlerrcode))
		ReThrowError(fault);
	if (fault != NULL)
		raise_fault(option, name, fault);
	return ids;
}
