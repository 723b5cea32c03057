/*
 * src/jose/member.c
 *		The members of a JSON Web Key, read from jsonb. Knows nothing of what they mean.
 */
#include "postgres.h"

#include "jose/member.h"

bool
member_get(JsonbContainer *jwk, const char *name, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(jwk, name, (int) strlen(name), value) != NULL &&
		   value->type != jbvNull;
}

bool
member_text(JsonbContainer *jwk, const char *name, JsonbValue *value)
{
	return member_get(jwk, name, value) && value->type == jbvString;
}

bool
member_text_is(const JsonbValue *value, const char *text)
{
	return value->type == jbvString && value->val.string.len == (int) strlen(text) &&
		   memcmp(value->val.string.val, text, value->val.string.len) == 0;
}
