/*
 * src/access/access.c
 *		The decision itself. See access.h; every branch has its sentence in design.md or a
 *		rule number of smart-rules.
 */
#include "postgres.h"

#include "access/access.h"
#include "access/reach.h"
#include "compat.h"

#define READS (SCOPE_R | SCOPE_S)
/* Types whose grants are remembered from row to row. */
#define KNOWN_GRANTS 64

void
access_row_init(AccessRow *row)
{
	memset(row, 0, offsetof(AccessRow, patients));
	row->uuid_keys = false;
	row->misspelled = false;
	row->stray_key = false;
	row->has_subjects = false;
	row->has_members = false;
	fhir_keys_init(&row->patients);
	fhir_keys_init(&row->subjects);
	fhir_keys_init(&row->members);
}

void
access_row_reset(AccessRow *row)
{
	fhir_keys_reset(&row->patients);
	fhir_keys_reset(&row->subjects);
	fhir_keys_reset(&row->members);
	row->has_subjects = false;
	row->has_members = false;
}

/* The patients that the record is about. */
static const FhirKeys *
subjects(AccessRow *row)
{
	if (!row->has_subjects)
	{
		fhir_patients(&row->resource, FHIR_SUBJECT, &row->subjects);
		row->has_subjects = true;
	}
	return &row->subjects;
}

/* The patients whose compartment the record is in, as the table reads it. */
static const FhirKeys *
members(const AccessTable *table, AccessRow *row)
{
	if (table->has_patients)
		return &row->patients;
	if (table->reading == FHIR_SUBJECT)
		return subjects(row);
	if (!row->has_members)
	{
		fhir_patients(&row->resource, FHIR_FULL, &row->members);
		row->has_members = true;
	}
	return &row->members;
}

static bool
any_reached(const Session *session, ScopeLevel level, const FhirKeys *keys, bool uuid)
{
	for (int i = 0; i < keys->n; i++)
		if (access_reaches(session, level, keys->keys[i], uuid))
			return true;
	return false;
}

static bool
all_reached(const Session *session, ScopeLevel level, const FhirKeys *keys, bool uuid)
{
	for (int i = 0; i < keys->n; i++)
		if (!access_reaches(session, level, keys->keys[i], uuid))
			return false;
	return keys->n > 0;
}

bool
access_table_shares(const AccessTable *table, const char *type_name, size_t len)
{
	if (table->shared != SHARED_DEFAULT)
		return table->shared == SHARED_YES;
	return access_names_contain(
		table->shared_types ? table->shared_types : access_shared_types(), type_name, len);
}

bool
access_base_is_open(const Session *session, const AccessTable *table)
{
	return table->base_url.data == NULL ||
		   session_texts_contain(
			   session, session->bases, table->base_url.data, table->base_url.len);
}

/*
 * The row against the patients that a level reaches.
 *
 * Reading goes by membership, and one of several patients is enough. Writing always goes by the
 * subject, since a client could name its own patient as performer of a record in another chart
 * (PC-8), and needs one at least and all of them the session's: who may change a record about two
 * patients could plant it in the other's chart, or take it out. Where the table stores the
 * patients, they decide reads, and a write needs both, all subjects and all stored keys; where it
 * follows other records, their patient is the only one that the row has.
 */
static AccessReason
patients_reason(const Session *session, const AccessTable *table, AccessRow *row, ScopeLevel level,
				int letter)
{
	bool in_compartment = fhir_type_in_compartment(row->resource.version, row->resource.type);

	if (!in_compartment && !table->has_patients)
		return ACCESS_OUTSIDE;
	if (letter & READS)
		return any_reached(session, level, members(table, row), row->uuid_keys)
				   ? ACCESS_ALLOWED
				   : ACCESS_OTHER_PATIENT;
	if (table->has_patients &&
		(row->stray_key || !all_reached(session, level, &row->patients, row->uuid_keys)))
		return ACCESS_OTHER_PATIENT;
	if (!in_compartment || table->followed)
		return ACCESS_ALLOWED;
	return all_reached(session, level, subjects(row), false) ? ACCESS_ALLOWED
															 : ACCESS_OTHER_PATIENT;
}

AccessReason
access_row_reason(const Session *session, const AccessTable *table, const AccessRow *row)
{
	if (!row->valid || row->resource.type < 0)
		return ACCESS_NOT_A_RESOURCE;
	if (!access_base_is_open(session, table))
		return ACCESS_BASE_URL;
	return ACCESS_ALLOWED;
}

AccessReason
access_grant_reason(const Session *session, const AccessTable *table, AccessRow *row,
					const AccessGrant *grant, int letter)
{
	int reach = session->reach[grant->level];

	if (!(grant->permissions & letter))
		return ACCESS_NO_SCOPE;
	if (reach == REACH_NOTHING)
		return ACCESS_NO_PERSON;
	for (int i = 0; i < grant->n_constraints; i++)
		if (!fhir_constraint_matches(grant->constraints[i], &row->resource))
			return ACCESS_CONSTRAINT;
	if (reach == REACH_ALL)
		return ACCESS_ALLOWED;
	if (access_table_shares(table, row->resource.type_name.data, row->resource.type_name.len))
		return letter & READS ? ACCESS_ALLOWED : ACCESS_SHARED_WRITE;
	return patients_reason(session, table, row, grant->level, letter);
}

/*
 * access_grants(), remembered from row to row: a generation has one scope. A statement may join
 * tables of several types, and one table may hold many, so some types are remembered at a time.
 */
const AccessGrants *
access_session_grants(const Session *session, FhirVersion version, int type)
{
	static struct
	{
		FhirVersion version;
		int type;
		const AccessGrants *grants; /* NULL: free */
	} known[KNOWN_GRANTS];
	static uint64 generation = 0;
	static uint64 scopes = 0;
	int slot = (unsigned int) (type * FHIR_VERSIONS + (int) version) % KNOWN_GRANTS;

	if (session->generation != generation || access_scopes_epoch() != scopes)
	{
		memset(known, 0, sizeof(known));
		generation = session->generation;
		scopes = access_scopes_epoch();
	}
	if (known[slot].grants == NULL || known[slot].type != type || known[slot].version != version)
	{
		const AccessGrants *grants =
			access_grants(session_text(session, session->grants), version, type);

		/* compiling may have freed what the others point to */
		if (access_scopes_epoch() != scopes)
		{
			memset(known, 0, sizeof(known));
			scopes = access_scopes_epoch();
		}
		known[slot].version = version;
		known[slot].type = type;
		known[slot].grants = grants;
	}
	return known[slot].grants;
}

bool
access_permits(const Session *session, const AccessTable *table, AccessRow *row, int letters)
{
	const AccessGrants *grants;
	int missing = letters;

	if (letters == 0 || access_row_reason(session, table, row) != ACCESS_ALLOWED)
		return false;
	grants = access_session_grants(session, table->version, row->resource.type);
	for (int i = 0; i < grants->n && missing != 0; i++)
	{
		const AccessGrant *grant = &grants->grants[i];
		int here = grant->permissions & missing;

		/* of the two reads, the first says it for both */
		if (here != 0 &&
			access_grant_reason(session, table, row, grant, here & -here) == ACCESS_ALLOWED)
			missing &= ~here;
	}
	return missing == 0;
}

/* What stands between one level and any row of a type; ACCESS_NO_SCOPE when no grant is of it. */
static AccessReason
level_reason(const Session *session, const AccessTable *table, const AccessGrants *grants, int type,
			 int level, int letter)
{
	const char *name = fhir_type_name(table->version, type);

	if (!(grants->permissions[level] & letter))
		return ACCESS_NO_SCOPE;
	if (session->reach[level] == REACH_NOTHING)
		return ACCESS_NO_PERSON;
	if (session->reach[level] == REACH_ALL)
		return ACCESS_ALLOWED;
	if (access_table_shares(table, name, strlen(name)))
		return letter & READS ? ACCESS_ALLOWED : ACCESS_SHARED_WRITE;
	if (!table->has_patients && !fhir_type_in_compartment(table->version, type))
		return ACCESS_OUTSIDE;
	return access_reached_patients(session, level).n > 0 ? ACCESS_ALLOWED : ACCESS_OTHER_PATIENT;
}

AccessReason
access_type_reason(const Session *session, const AccessTable *table, int type, int letter,
				   ScopeLevel *level)
{
	AccessReason reason = ACCESS_NO_SCOPE;
	const AccessGrants *grants;

	*level = SCOPE_LEVEL_PATIENT;
	if (type < 0)
		return ACCESS_NOT_A_RESOURCE;
	if (!access_base_is_open(session, table))
		return ACCESS_BASE_URL;
	grants = access_grants(session_text(session, session->grants), table->version, type);
	for (int i = SCOPE_LEVEL_PATIENT; i <= SCOPE_LEVEL_SYSTEM; i++)
	{
		AccessReason one = level_reason(session, table, grants, type, i, letter);

		if (one == ACCESS_ALLOWED)
			return ACCESS_ALLOWED;
		if (one > reason)
		{
			reason = one;
			*level = i;
		}
	}
	return reason;
}

bool
access_row_has_one_key(const AccessTable *table, AccessRow *row)
{
	if (!table->one_key)
		return true;
	return table->has_patients ? !row->misspelled : members(table, row)->n <= 1;
}

/* A row that a statement shows: r, s or both, whatever is to be written besides. */
static int
shown_letters(const Session *session, int letters[2])
{
	int n = 0;

	if (session->interaction != INTERACTION_SEARCH)
		letters[n++] = SCOPE_R;
	if (session->interaction != INTERACTION_READ)
		letters[n++] = SCOPE_S;
	return n;
}

int
access_command_letters(const Session *session, AccessCommand command, int letters[2])
{
	letters[0] = letters[1] = 0; /* none: nothing is permitted */
	switch (command)
	{
		case COMMAND_SELECT:
			return shown_letters(session, letters);
		case COMMAND_TARGET:
			switch ((SessionInteraction) session->interaction)
			{
				case INTERACTION_NONE:
				case INTERACTION_READ:
				case INTERACTION_SEARCH:
					return shown_letters(session, letters);
				case INTERACTION_CREATE:
					letters[0] = SCOPE_C;
					break;
				case INTERACTION_UPDATE:
					letters[0] = SCOPE_U;
					break;
				case INTERACTION_DELETE:
					letters[0] = SCOPE_D;
					break;
			}
			break;
		case COMMAND_INSERT:
			letters[0] = SCOPE_C;
			break;
		case COMMAND_UPDATE:
			letters[0] = SCOPE_U;
			break;
		case COMMAND_DELETE:
			letters[0] = SCOPE_D;
			break;
	}
	return 1;
}

bool
access_permits_command(const Session *session, const AccessTable *table, AccessRow *row,
					   AccessCommand command)
{
	int letters[2];
	int n = access_command_letters(session, command, letters);
	bool permitted =
		access_permits(session, table, row, n == 2 ? letters[0] | letters[1] : letters[0]);

	/* update as create (IX-2) */
	if (!permitted && command == COMMAND_INSERT && session->interaction == INTERACTION_UPDATE)
		permitted = access_permits(session, table, row, SCOPE_U);
	return permitted;
}
