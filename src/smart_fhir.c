/*
 * src/smart_fhir.c
 *		Module magic and _PG_init: which file hooks in where. No logic.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/guc.h"

#include "access/access.h"
#include "audit/audit.h"
#include "compat.h"
#include "policy/follow_links.h"
#include "policy/owner.h"
#include "policy/guard.h"
#include "session/issuer.h"
#include "session/log_mask.h"
#include "session/file_settings.h"
#include "session/key_file.h"
#include "oauth/store.h"
#include "policy/forms.h"
#include "session/revocation.h"
#include "session/session.h"
#include "session/stat.h"
#include "session/validator.h"

#ifdef PG_MODULE_MAGIC_EXT
PG_MODULE_MAGIC_EXT(.name = "smart_fhir", .version = SMART_FHIR_VERSION);
#else
PG_MODULE_MAGIC;
#endif

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	file_settings_note();
	stat_init();
	session_init();
	session_cache_init();
	issuer_init();
	revocation_init();
	access_init();
	policy_forms_init();
	guard_init();
	follow_links_init();
	owner_init();
	log_mask_init();
	key_file_init();
	validator_init();
	audit_init();
	store_init();
	MarkGUCPrefixReserved("smart_fhir");
	file_settings_restore();
}
