/*
 * src/oauth/json.h
 *		Making and reading jsonb objects, member by member.
 */
#ifndef SMART_FHIR_OAUTH_JSON_H
#define SMART_FHIR_OAUTH_JSON_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "compat.h"

/* An object that is being made. Members that are NULL are left out. */
typedef struct JsonObject
{
	JsonbInState state;
} JsonObject;

extern void json_begin(JsonObject *object);
extern void json_add_text(JsonObject *object, const char *name, const char *text);
extern void json_add_int(JsonObject *object, const char *name, int64 number);
extern void json_add_bool(JsonObject *object, const char *name, bool value);
extern void json_add_null(JsonObject *object, const char *name);
extern void json_add_jsonb(JsonObject *object, const char *name, const Jsonb *value);
/* An array of the C strings in the list. */
extern void json_add_texts(JsonObject *object, const char *name, List *texts);
/* Of the jsonb in the list. */
extern void json_add_array(JsonObject *object, const char *name, List *values);
/* Every member of another object. */
extern void json_add_members(JsonObject *object, const Jsonb *other);
extern Jsonb *json_end(JsonObject *object);

/* ---- reading; NULL when the member is absent (and of another type, where one is named) ---- */

extern bool json_find(const Jsonb *object, const char *name, JsonbValue *value);
extern bool json_has(const Jsonb *object, const char *name);
extern char *json_text(const Jsonb *object, const char *name);
extern Jsonb *json_member(const Jsonb *object, const char *name);
extern bool json_is_true(const Jsonb *object, const char *name);
/* Whole numbers; otherwise if_absent. */
extern int64 json_int(const Jsonb *object, const char *name, int64 if_absent);
/* The strings of an array, as a list of C strings; NIL when it is none. */
extern List *json_texts(const Jsonb *object, const char *name);
/* Is this text among the strings of the array? */
extern bool json_texts_have(const Jsonb *object, const char *name, const char *text);
/* The value as jsonb of its own. */
extern Jsonb *json_from_value(JsonbValue *value);

#endif /* SMART_FHIR_OAUTH_JSON_H */
