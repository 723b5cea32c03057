/*
 * src/oauth/request.c
 *		Parameters and headers as the front end relays them.
 *
 * RFC 6749 3.1: a parameter without a value counts as absent, one that came twice makes the
 * request invalid, an unknown one is ignored. Knows nothing of which parameters there are.
 */
#include "postgres.h"

#include "compat.h"
#include "oauth/json.h"
#include "oauth/request.h"

const char *
request_fault_text(RequestFault fault)
{
	switch (fault)
	{
		case REQUEST_OK:
			break;
		case REQUEST_NO_OBJECT:
			return "the request has no parameters";
		case REQUEST_TOO_LARGE:
			return "the request is longer than 64 KiB";
		case REQUEST_REPEATED:
			return "a parameter is there more than once";
		case REQUEST_NO_STRING:
			return "a parameter is not a string";
	}
	return "the request is malformed";
}

RequestFault
request_check_shape(const Jsonb *request)
{
	if (!JB_ROOT_IS_OBJECT(request))
		return REQUEST_NO_OBJECT;
	if (VARSIZE_ANY_EXHDR(request) > REQUEST_MAX_BYTES)
		return REQUEST_TOO_LARGE;
	return REQUEST_OK;
}

static RequestFault
value_fault(const JsonbValue *value)
{
	if (value->type == jbvString)
		return REQUEST_OK;
	if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data))
		return REQUEST_REPEATED;
	return REQUEST_NO_STRING;
}

RequestFault
request_check(const Jsonb *request)
{
	RequestFault worst = request_check_shape(request);
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue value;

	if (worst != REQUEST_OK)
		return worst;
	it = JsonbIteratorInit(unconstify(JsonbContainer *, &request->root));
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		RequestFault fault = token == WJB_VALUE ? value_fault(&value) : REQUEST_OK;

		if (fault > worst)
			worst = fault;
	}
	return worst;
}

RequestFault
request_check_parameter(const Jsonb *request, const char *name)
{
	JsonbValue value;

	return json_find(request, name, &value) ? value_fault(&value) : REQUEST_OK;
}

char *
request_parameter(const Jsonb *request, const char *name)
{
	char *value = json_text(request, name);

	return value == NULL || *value == '\0' ? NULL : value;
}

char *
request_header(const Jsonb *headers, const char *name)
{
	return headers == NULL ? NULL : json_text(headers, name);
}

bool
request_headers_fit(const Jsonb *headers)
{
	return headers == NULL || VARSIZE_ANY_EXHDR(headers) <= REQUEST_MAX_BYTES;
}

char *
request_bearer(const Jsonb *headers)
{
	char *value = request_header(headers, "authorization");

	if (value == NULL || pg_strncasecmp(value, "Bearer ", 7) != 0)
		return NULL;
	value += 7;
	while (*value == ' ')
		value++;
	return *value == '\0' ? NULL : value;
}
