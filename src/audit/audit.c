/*
 * src/audit/audit.c
 *		The audit trail, put together.
 */
#include "postgres.h"

#include "compat.h"
#include "audit/audit.h"
#include "audit/events.h"
#include "audit/log.h"
#include "audit/protected.h"
#include "audit/settings.h"

void
audit_init(void)
{
	audit_settings_init();
	audit_log_init();
	session_events_init();
	protected_init();
	utility_init();
	statement_audit_init();
	parallel_audit_init();
}
