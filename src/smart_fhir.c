/*
 * src/smart_fhir.c
 *		Module magic and _PG_init: which file hooks in where. No logic.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/guc.h"

#include "compat.h"

#ifdef PG_MODULE_MAGIC_EXT
PG_MODULE_MAGIC_EXT(.name = "smart_fhir", .version = SMART_FHIR_VERSION);
#else
PG_MODULE_MAGIC;
#endif

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	MarkGUCPrefixReserved("smart_fhir");
}
