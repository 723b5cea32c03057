/*
 * src/scope/scope.c
 *		The type smart.smart_scope: input, output, comparison, operators.
 *
 * A value is its canonical text, so equality, order and hash are those of bytes, and the other
 * operators parse on demand. The only place of the layer, with src/scope/items.c, that raises.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"

#include "compat.h"
#include "scope/order.h"
#include "scope/parse.h"
#include "scope/scope.h"

/* First byte of the binary form: the rest is the text. */
#define BINARY_VERSION 1

/* A message quotes no more of a scope than this. */
#define MAX_QUOTED 200

/* NULL after a soft error. */
static SmartScope *
make_value(const ScopeList *list, Node *escontext)
{
	char *text = scope_list_text(list);
	size_t len = strlen(text);
	SmartScope *result;

	if (len > SCOPE_MAX_LENGTH)
		ereturn(escontext,
				NULL,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("value of type %s is too long", "smart_scope"),
				errdetail("The canonical text cannot be longer than %d bytes.", SCOPE_MAX_LENGTH));
	result = (SmartScope *) cstring_to_text_with_len(text, (int) len);
	pfree(text);
	return result;
}

static char *
quotable(const char *token)
{
	size_t len = strlen(token);

	if (len <= MAX_QUOTED)
		return pstrdup(token);
	return psprintf("%.*s...", MAX_QUOTED, token);
}

/* Parse and store, or raise; NULL after a soft error. */
static SmartScope *
value_from_text(const char *text, size_t len, Node *escontext)
{
	ScopeList list;
	ScopeError error;
	char *token;

	if (scope_parse(text, len, &list, &error))
		return make_value(&list, escontext);

	token = error.token ? quotable(error.token) : NULL;
	if (error.limit)
		ereturn(escontext,
				NULL,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("text is too much for type %s", "smart_scope"),
				token ? errdetail("In scope \"%s\", %s.", token, error.reason)
					  : errdetail("For type %s, %s.", "smart_scope", error.reason));
	if (token == NULL)
		ereturn(escontext,
				NULL,
				errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				errmsg("invalid input syntax for type %s", "smart_scope"),
				errdetail("At byte %d (0x%02x), %s.",
						  error.position + 1,
						  (unsigned char) text[error.position],
						  error.reason));
	ereturn(escontext,
			NULL,
			errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			errmsg("invalid input syntax for type %s: \"%s\"", "smart_scope", token),
			errdetail("In scope \"%s\", %s.", token, error.reason));
}

void
scope_value_list(const SmartScope *scope, ScopeList *list)
{
	ScopeError error;

	if (!scope_parse(VARDATA_ANY(scope), VARSIZE_ANY_EXHDR(scope), list, &error))
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("stored value of type %s is not valid", "smart_scope"));
}

PG_FUNCTION_INFO_V1(smart_scope_in);
Datum
smart_scope_in(PG_FUNCTION_ARGS)
{
	char *text = PG_GETARG_CSTRING(0);
	SmartScope *result = value_from_text(text, strlen(text), fcinfo->context);

	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_SMART_SCOPE_P(result);
}

PG_FUNCTION_INFO_V1(smart_scope_out);
Datum
smart_scope_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(text_to_cstring((text *) PG_GETARG_SMART_SCOPE_P(0)));
}

PG_FUNCTION_INFO_V1(smart_scope_recv);
Datum
smart_scope_recv(PG_FUNCTION_ARGS)
{
	StringInfo buf = (StringInfo) PG_GETARG_POINTER(0);
	int version = pq_getmsgbyte(buf);
	int len;
	const char *text;

	if (version != BINARY_VERSION)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				errmsg("unsupported version %d of binary type %s", version, "smart_scope"));
	len = buf->len - buf->cursor;
	text = pq_getmsgbytes(buf, len);
	PG_RETURN_SMART_SCOPE_P(value_from_text(text, len, NULL));
}

PG_FUNCTION_INFO_V1(smart_scope_send);
Datum
smart_scope_send(PG_FUNCTION_ARGS)
{
	SmartScope *scope = PG_GETARG_SMART_SCOPE_P(0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendbyte(&buf, BINARY_VERSION);
	pq_sendbytes(&buf, VARDATA_ANY(scope), VARSIZE_ANY_EXHDR(scope));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* Order of bytes: canonical text makes it agree with "covers each other". */
static int
compare_args(FunctionCallInfo fcinfo)
{
	SmartScope *a = PG_GETARG_SMART_SCOPE_P(0);
	SmartScope *b = PG_GETARG_SMART_SCOPE_P(1);
	size_t len_a = VARSIZE_ANY_EXHDR(a);
	size_t len_b = VARSIZE_ANY_EXHDR(b);
	int order = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), Min(len_a, len_b));

	if (order == 0 && len_a != len_b)
		order = len_a < len_b ? -1 : 1;
	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return order;
}

PG_FUNCTION_INFO_V1(smart_scope_eq);
Datum
smart_scope_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) == 0);
}

PG_FUNCTION_INFO_V1(smart_scope_ne);
Datum
smart_scope_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) != 0);
}

PG_FUNCTION_INFO_V1(smart_scope_lt);
Datum
smart_scope_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) < 0);
}

PG_FUNCTION_INFO_V1(smart_scope_le);
Datum
smart_scope_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) <= 0);
}

PG_FUNCTION_INFO_V1(smart_scope_gt);
Datum
smart_scope_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) > 0);
}

PG_FUNCTION_INFO_V1(smart_scope_ge);
Datum
smart_scope_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) >= 0);
}

PG_FUNCTION_INFO_V1(smart_scope_cmp);
Datum
smart_scope_cmp(PG_FUNCTION_ARGS)
{
	int order = compare_args(fcinfo);

	PG_RETURN_INT32((order > 0) - (order < 0));
}

PG_FUNCTION_INFO_V1(smart_scope_hash);
Datum
smart_scope_hash(PG_FUNCTION_ARGS)
{
	SmartScope *scope = PG_GETARG_SMART_SCOPE_P(0);

	return hash_any((unsigned char *) VARDATA_ANY(scope), (int) VARSIZE_ANY_EXHDR(scope));
}

PG_FUNCTION_INFO_V1(smart_scope_hash_extended);
Datum
smart_scope_hash_extended(PG_FUNCTION_ARGS)
{
	SmartScope *scope = PG_GETARG_SMART_SCOPE_P(0);

	return hash_any_extended(
		(unsigned char *) VARDATA_ANY(scope), (int) VARSIZE_ANY_EXHDR(scope), PG_GETARG_INT64(1));
}

static bool
covers(FunctionCallInfo fcinfo, int wide, int narrow)
{
	ScopeList a;
	ScopeList b;

	scope_value_list(PG_GETARG_SMART_SCOPE_P(wide), &a);
	scope_value_list(PG_GETARG_SMART_SCOPE_P(narrow), &b);
	return scope_list_covers(&a, &b);
}

PG_FUNCTION_INFO_V1(smart_scope_contains);
Datum
smart_scope_contains(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(covers(fcinfo, 0, 1));
}

PG_FUNCTION_INFO_V1(smart_scope_contained);
Datum
smart_scope_contained(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(covers(fcinfo, 1, 0));
}

static Datum
combine(FunctionCallInfo fcinfo,
		bool (*operation)(const ScopeList *, const ScopeList *, ScopeList *))
{
	ScopeList a;
	ScopeList b;
	ScopeList result;

	scope_value_list(PG_GETARG_SMART_SCOPE_P(0), &a);
	scope_value_list(PG_GETARG_SMART_SCOPE_P(1), &b);
	if (!operation(&a, &b, &result))
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("result is too much for type %s", "smart_scope"),
				errdetail("The constraints of the two values have too many combinations."));
	PG_RETURN_SMART_SCOPE_P(make_value(&result, NULL));
}

PG_FUNCTION_INFO_V1(smart_scope_both);
Datum
smart_scope_both(PG_FUNCTION_ARGS)
{
	return combine(fcinfo, scope_list_meet);
}

PG_FUNCTION_INFO_V1(smart_scope_either);
Datum
smart_scope_either(PG_FUNCTION_ARGS)
{
	return combine(fcinfo, scope_list_join);
}
