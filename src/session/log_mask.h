/*
 * src/session/log_mask.h
 *		Tokens out of sight: the server log and pg_stat_activity.
 */
#ifndef SMART_FHIR_LOG_MASK_H
#define SMART_FHIR_LOG_MASK_H

/* Replace the running statement in pg_stat_activity when it holds a token. */
extern void log_mask_activity(void);
extern void log_mask_init(void);

#endif /* SMART_FHIR_LOG_MASK_H */
