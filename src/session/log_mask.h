/*
 * src/session/log_mask.h
 *		Tokens out of sight: the server log and pg_stat_activity.
 */
#ifndef SMART_FHIR_LOG_MASK_H
#define SMART_FHIR_LOG_MASK_H

/* Replace the running statement in pg_stat_activity when it holds a token. */
extern void log_mask_activity(void);
/* The first token or secret in a text, and its length; NULL: there is none. */
extern const char *log_mask_find(const char *text, size_t *len);
/* What stands in the place of one. */
#define LOG_MASK "<token>"
/* Leave this report as it is: whoever made it has masked what is in it. For emit_log_hooks alone. */
extern void log_mask_spare(const ErrorData *edata);
extern void log_mask_init(void);

#endif /* SMART_FHIR_LOG_MASK_H */
