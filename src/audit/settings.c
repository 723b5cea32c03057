/*
 * src/audit/settings.c
 *		smart_fhir.audit, audit_identities, audit_patients: and that no session records less.
 *
 * What the configuration file says is seen by the check hook, which PostgreSQL calls for every source
 * of a value, in force or not. A value that is below it counts as the file's, whoever gave it: a role, a
 * database, a function, a client. Of those only the statement SET can be told so.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "tcop/pquery.h"
#include "utils/guc.h"

#include "compat.h"
#include "audit/settings.h"
#include "session/trail.h"

enum
{
	IDENTITIES_HASHED,
	IDENTITIES_CLEAR
};

static const struct config_enum_entry levels[] = {{"off", AUDIT_OFF, false},
												  {"logins", AUDIT_LOGINS, false},
												  {"writes", AUDIT_WRITES, false},
												  {"all", AUDIT_ALL, false},
												  {NULL, 0, false}};
static const struct config_enum_entry identities[] = {
	{"hashed", IDENTITIES_HASHED, false}, {"clear", IDENTITIES_CLEAR, false}, {NULL, 0, false}};

int audit_level = AUDIT_OFF;
/* smart_fhir.audit: which events are recorded in the server's log */
static int guc_audit = AUDIT_OFF;
/* smart_fhir.audit_identities: whether records name people or keyed hashes of their names */
static int guc_identities = IDENTITIES_HASHED;
/* smart_fhir.audit_patients: whether rows that were read are asked whom they are about */
static bool guc_patients = true;

static int file_level = AUDIT_OFF;
static bool in_set = false;

bool
audit_settings_enter_set(bool is_set)
{
	bool outer = in_set;

	in_set = is_set;
	return outer;
}

/* Workers record nothing: their leader has what they did. */
static void
put_in_force(int level)
{
	audit_level = IsParallelWorker() ? AUDIT_OFF : Max(level, file_level);
	trail_on = audit_level > AUDIT_OFF;
}

static bool
check_audit(int *newval, void **extra, GucSource source)
{
	if (source < PGC_S_GLOBAL)
	{
		/* ALTER SYSTEM and pg_file_settings look at values that are not in force; files are loaded between statements */
		file_level = ActivePortal != NULL ? Max(file_level, *newval) : *newval;
		put_in_force(guc_audit);
	}
	/* what is only looked at, as by ALTER ROLE, may be anything; a worker gets what its leader has */
	else if (*newval < file_level && source != PGC_S_TEST && !InitializingParallelWorker)
	{
		if (in_set)
		{
			GUC_check_errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
			GUC_check_errmsg("parameter \"%s\" cannot be set below the configuration file's value",
							 "smart_fhir.audit");
			GUC_check_errhint("A session may record more, not less.");
			return false;
		}
		*newval = file_level;
	}
	return true;
}

static void
assign_audit(int newval, void *extra)
{
	put_in_force(newval);
}

bool
audit_hashes_identities(void)
{
	return guc_identities == IDENTITIES_HASHED;
}

bool
audit_looks_for_patients(void)
{
	return guc_patients;
}

void
audit_settings_init(void)
{
	DefineCustomEnumVariable("smart_fhir.audit",
							 "What is recorded in the server's log: logins, writes, or all.",
							 "A session may raise it, not lower it below the configuration file's.",
							 &guc_audit,
							 AUDIT_OFF,
							 levels,
							 PGC_SUSET,
							 0,
							 check_audit,
							 assign_audit,
							 NULL);
	DefineCustomEnumVariable("smart_fhir.audit_identities",
							 "Whether audit records name people, or keyed hashes of their names.",
							 NULL,
							 &guc_identities,
							 IDENTITIES_HASHED,
							 identities,
							 PGC_SUSET,
							 0,
							 NULL,
							 NULL,
							 NULL);
	DefineCustomBoolVariable(
		"smart_fhir.audit_patients",
		"Whether audit records name the patients of the rows that were read.",
		"For sessions that are not of one patient, and roles that no policy binds.",
		&guc_patients,
		true,
		PGC_SUSET,
		0,
		NULL,
		NULL,
		NULL);
}
