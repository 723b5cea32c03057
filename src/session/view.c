/*
 * src/session/view.c
 *		smart.session and the accessor functions: what the session says of itself.
 *
 * They show a usable session only: nothing once it is expired or revoked.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "session/session.h"

PG_FUNCTION_INFO_V1(smart_session_row);
PG_FUNCTION_INFO_V1(smart_patient);
PG_FUNCTION_INFO_V1(smart_encounter);
PG_FUNCTION_INFO_V1(smart_fhir_user);
PG_FUNCTION_INFO_V1(smart_client_id);
PG_FUNCTION_INFO_V1(smart_scope);
PG_FUNCTION_INFO_V1(smart_claims);

static Datum
texts_datum(const Session *session, SessionTexts texts)
{
	Datum *elements = palloc(sizeof(Datum) * Max(texts.n, 1));
	const char *text = session_texts_first(session, texts);

	for (int i = 0; i < texts.n; i++, text = session_texts_next(text))
		elements[i] = CStringGetTextDatum(text);
	return PointerGetDatum(construct_array(elements, texts.n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Pairs of scope and reason as "scope: reason". */
static Datum
ignored_datum(const Session *session)
{
	int n = session->ignored.n;
	Datum *elements = palloc(sizeof(Datum) * Max(n, 1));
	const char *scope = session_texts_first(session, session->ignored);

	for (int i = 0; i < n; i++)
	{
		const char *reason = session_texts_next(scope);

		elements[i] = CStringGetTextDatum(psprintf("%s: %s", scope, reason));
		scope = session_texts_next(reason);
	}
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* The session's scope as a value of smart.smart_scope, whose input function is flinfo's. */
static Datum
scope_datum(const Session *session, Oid type)
{
	Oid input;
	Oid ioparam;

	getTypeInputInfo(type, &input, &ioparam);
	return OidInputFunctionCall(
		input, unconstify(char *, session_text(session, session->scope)), ioparam, -1);
}

Datum
smart_session_row(PG_FUNCTION_ARGS)
{
	const Session *session = session_usable();
	TupleDesc desc;
	Datum values[15];
	bool nulls[15] = {false};
	int i = 0;

	if (session == NULL)
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != lengthof(values))
		elog(ERROR, "smart_internal.session_row() has an unexpected result type");
#define PUT_TEXT(offset)                                                                           \
	do                                                                                             \
	{                                                                                              \
		const char *text = session_text(session, (offset));                                        \
		nulls[i] = text == NULL;                                                                   \
		values[i] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);                          \
		i++;                                                                                       \
	} while (0)
	PUT_TEXT(session->issuer);
	PUT_TEXT(session->subject);
	PUT_TEXT(session->client_id);
	PUT_TEXT(session->patient);
	values[i++] = texts_datum(session, session->patients);
	PUT_TEXT(session->encounter);
	PUT_TEXT(session->fhir_user);
	values[i] = scope_datum(session, TupleDescAttr(desc, i)->atttypid);
	i++;
	nulls[i] = session->expires_at == DT_NOEND;
	values[i++] = TimestampTzGetDatum(session->expires_at);
	PUT_TEXT(session->jti);
	values[i++] = texts_datum(session, session->audience);
	nulls[i] = session->interaction_name == 0;
	if (!nulls[i])
		values[i] = CStringGetTextDatum(session_interaction_name(session->interaction_name));
	i++;
	values[i++] = PointerGetDatum((const char *) session + session->claims);
	values[i++] = ignored_datum(session);
	values[i++] = texts_datum(session, session->ignored_claims);
#undef PUT_TEXT
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

#define ACCESSOR(name, member)                                                                     \
	Datum name(PG_FUNCTION_ARGS)                                                                   \
	{                                                                                              \
		const Session *session = session_usable();                                                 \
		const char *text = session == NULL ? NULL : session_text(session, session->member);        \
                                                                                                   \
		if (text == NULL)                                                                          \
			PG_RETURN_NULL();                                                                      \
		PG_RETURN_TEXT_P(cstring_to_text(text));                                                   \
	}

ACCESSOR(smart_patient, patient)
ACCESSOR(smart_encounter, encounter)
ACCESSOR(smart_fhir_user, fhir_user)
ACCESSOR(smart_client_id, client_id)

Datum
smart_scope(PG_FUNCTION_ARGS)
{
	const Session *session = session_usable();
	Oid type;

	if (session == NULL)
		PG_RETURN_NULL();
	type = get_fn_expr_rettype(fcinfo->flinfo);
	if (!OidIsValid(type))
		type = get_func_rettype(fcinfo->flinfo->fn_oid);
	PG_RETURN_DATUM(scope_datum(session, type));
}

Datum
smart_claims(PG_FUNCTION_ARGS)
{
	const Session *session = session_usable();
	Jsonb *claims;

	if (session == NULL)
		PG_RETURN_NULL();
	claims = (Jsonb *) ((const char *) session + session->claims);
	PG_RETURN_POINTER(memcpy(palloc(VARSIZE(claims)), claims, VARSIZE(claims)));
}
