/*
 * src/audit/text.h
 *		JSON in ASCII, written into memory that is there: nothing here allocates or raises an error.
 */
#ifndef SMART_FHIR_AUDIT_TEXT_H
#define SMART_FHIR_AUDIT_TEXT_H

/* Members of an object, each with its comma before it. */
typedef struct AuditText
{
	char *data;
	int len;
	int size;
	bool clipped; /* something was cut short, or left out, for want of room */
} AuditText;

/* Longest value of a member, as written; AUDIT_LONG_TEXT where the caller says so. */
#define AUDIT_TEXT 1024
#define AUDIT_LONG_TEXT 4096

/* No member without a value: NULL is left out. */
extern void text_member(AuditText *out, const char *name, const char *value);
extern void text_long_member(AuditText *out, const char *name, const char *value);
extern void text_number(AuditText *out, const char *name, int64 value);
extern void text_true(AuditText *out, const char *name);
/* Elements of an array: the first one opens it. False: no room, nothing was written. */
extern bool text_open(AuditText *out, const char *name);
extern bool text_element(AuditText *out, const char *value);
extern bool text_element_number(AuditText *out, int64 value);
extern void text_close(AuditText *out);
/* Bytes that are JSON already; false when they do not fit. */
extern bool text_raw(AuditText *out, const char *json, int len);

#endif /* SMART_FHIR_AUDIT_TEXT_H */
