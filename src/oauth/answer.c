/*
 * src/oauth/answer.c
 *		Answers for a front end to relay. Knows nothing of why they are given.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "compat.h"
#include "oauth/answer.h"
#include "oauth/json.h"

#define DESCRIPTION_MAX_BYTES 200
#define LOG_VALUE_MAX_BYTES 200

static Jsonb *
make_answer(int status, Jsonb *headers, const Jsonb *body)
{
	JsonObject answer;

	json_begin(&answer);
	json_add_int(&answer, "status", status);
	json_add_jsonb(&answer, "headers", headers);
	if (body != NULL)
		json_add_jsonb(&answer, "body", body);
	else
		json_add_null(&answer, "body");
	return json_end(&answer);
}

Jsonb *
answer_json_header(int status, const Jsonb *body, const char *header, const char *value)
{
	JsonObject headers;

	json_begin(&headers);
	json_add_text(&headers, "cache-control", "no-store");
	json_add_text(&headers, "pragma", "no-cache");
	if (body != NULL)
		json_add_text(&headers, "content-type", "application/json");
	if (header != NULL)
		json_add_text(&headers, header, value);
	return make_answer(status, json_end(&headers), body);
}

Jsonb *
answer_json(int status, const Jsonb *body)
{
	return answer_json_header(status, body, NULL, NULL);
}

Jsonb *
answer_error_body(const char *error, const char *description)
{
	JsonObject body;

	json_begin(&body);
	json_add_text(&body, "error", error);
	if (description != NULL)
		json_add_text(&body, "error_description", answer_clean(description));
	return json_end(&body);
}

Jsonb *
answer_error(int status, const char *error, const char *description)
{
	return answer_json(status, answer_error_body(error, description));
}

Jsonb *
answer_redirect(int status, const char *location)
{
	return answer_json_header(status, NULL, "location", location);
}

char *
answer_add_parameter(const char *uri, const char *name, const char *value)
{
	static const char hex[] = "0123456789ABCDEF";
	StringInfoData buf;
	const char *query;

	if (value == NULL)
		return pstrdup(uri);
	initStringInfo(&buf);
	appendStringInfoString(&buf, uri);
	query = strchr(uri, '?');
	if (query == NULL)
		appendStringInfoChar(&buf, '?');
	else if (query[1] != '\0' && buf.data[buf.len - 1] != '&')
		appendStringInfoChar(&buf, '&');
	appendStringInfo(&buf, "%s=", name);
	for (const unsigned char *p = (const unsigned char *) value; *p != '\0'; p++)
	{
		if ((*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
			strchr("-._~", *p) != NULL)
			appendStringInfoChar(&buf, (char) *p);
		else
		{
			appendStringInfoChar(&buf, '%');
			appendStringInfoChar(&buf, hex[*p >> 4]);
			appendStringInfoChar(&buf, hex[*p & 0x0F]);
		}
	}
	return buf.data;
}

char *
answer_clean(const char *text)
{
	char *clean = palloc(DESCRIPTION_MAX_BYTES + 1);
	int len = 0;

	for (const unsigned char *p = (const unsigned char *) text;
		 *p != '\0' && len < DESCRIPTION_MAX_BYTES;
		 p++)
		clean[len++] = *p < 0x20 || *p > 0x7E || *p == '"' || *p == '\\' ? '_' : (char) *p;
	clean[len] = '\0';
	return clean;
}

void
answer_log(const char *endpoint, const char *error, const char *reason, const char *value)
{
	char *shown = NULL;

	if (value != NULL)
	{
		int len = (int) strlen(value);

		shown = pnstrdup(value, pg_mbcliplen(value, len, LOG_VALUE_MAX_BYTES));
		for (char *p = shown; *p != '\0'; p++)
			if ((unsigned char) *p < 0x20 || *p == 0x7F)
				*p = '_';
	}
	ereport(LOG_SERVER_ONLY,
			errmsg("%s request refused: %s: %s", endpoint, error, reason),
			shown != NULL ? errdetail_internal("Value: \"%s\".", shown) : 0,
			errhidestmt(true),
			errhidecontext(true));
}
