/*
 * src/audit/log.h
 *		How a record reaches the server's log, and nothing else passes for one.
 */
#ifndef SMART_FHIR_AUDIT_LOG_H
#define SMART_FHIR_AUDIT_LOG_H

#define AUDIT_MARK "smart_fhir audit: "

/* One line at LOG, to the server's log alone. */
extern void audit_log_write(const char *record);
/* SQLSTATE of the error that ends this process; 0: none yet. */
extern int audit_log_fatal(void);

extern void audit_log_init(void);

#endif /* SMART_FHIR_AUDIT_LOG_H */
