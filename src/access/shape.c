/*
 * src/access/shape.c
 *		The decision for all rows of a table at once. See src/access/shape.h.
 *
 * Follows access_grant_reason() grant by grant. Where that depends on the row, the shape
 * depends on it too; rows that are no valid resource are never allowed and not spoken of here.
 * Knows no plans and no policies.
 */
#include "postgres.h"

#include "access/shape.h"
#include "compat.h"

#define READS (SCOPE_R | SCOPE_S)

static SessionTexts
level_patients(const Session *session, int level)
{
	return level == SCOPE_LEVEL_PATIENT ? session->patients : session->user_patients;
}

int
access_count_patients(const Session *session, int levels, const char **only)
{
	int n = 0;

	*only = NULL;
	for (int level = SCOPE_LEVEL_PATIENT; level <= SCOPE_LEVEL_USER; level++)
		if (levels & (1 << level))
			n += level_patients(session, level).n;
	if (n >= ACCESS_DOZENS_OF_PATIENTS)
		return n >= ACCESS_MANY_PATIENTS ? 4 : 3;
	n = 0;
	for (int level = SCOPE_LEVEL_PATIENT; level <= SCOPE_LEVEL_USER; level++)
	{
		SessionTexts texts = level_patients(session, level);
		const char *id = session_texts_first(session, texts);

		if (!(levels & (1 << level)))
			continue;
		for (int i = 0; i < texts.n; i++, id = session_texts_next(id))
		{
			if (n == 0)
			{
				*only = id;
				n = 1;
			}
			else if (strcmp(*only, id) != 0)
			{
				*only = NULL;
				return 2;
			}
		}
	}
	return n;
}

/* One letter on the valid rows of one type. */
static AccessShape
letter_shape(const Session *session, const AccessTable *table, const AccessGrants *grants,
			 bool shared, bool in_compartment, int letter)
{
	AccessShape shape = {ACCESS_SHAPE_NOTHING, 0};
	int constrained = 0; /* levels of grants that ask for more than the patient */

	for (int i = 0; i < grants->n; i++)
	{
		const AccessGrant *grant = &grants->grants[i];
		int reach = session->reach[grant->level];

		if (!(grant->permissions & letter) || reach == REACH_NOTHING)
			continue;
		if (reach == REACH_PATIENTS && shared)
		{
			if (!(letter & READS))
				continue;
			reach = REACH_ALL;
		}
		if (reach == REACH_ALL)
		{
			if (grant->n_constraints == 0)
				return (AccessShape){ACCESS_SHAPE_ALL, 0};
			shape.kind = ACCESS_SHAPE_BY_ROW;
			continue;
		}
		/* the listed patients' rows; none of a type that is in no compartment */
		if (!in_compartment && !table->has_patients)
			continue;
		/* writing asks for the subject, too */
		if (grant->n_constraints > 0 || !(letter & READS))
			constrained |= 1 << grant->level;
		else
			shape.levels |= 1 << grant->level;
	}
	if (shape.kind == ACCESS_SHAPE_BY_ROW)
		return (AccessShape){ACCESS_SHAPE_BY_ROW, 0};
	if ((constrained & ~shape.levels) != 0)
		shape.kind = ACCESS_SHAPE_WITHIN;
	else if (shape.levels != 0)
		shape.kind = ACCESS_SHAPE_PATIENTS;
	shape.levels |= constrained;
	return shape;
}

/* The rows that are in both. */
static AccessShape
both(AccessShape a, AccessShape b)
{
	if (a.kind == ACCESS_SHAPE_NOTHING || b.kind == ACCESS_SHAPE_ALL)
		return a;
	if (b.kind == ACCESS_SHAPE_NOTHING || a.kind == ACCESS_SHAPE_ALL)
		return b;
	if (a.kind == ACCESS_SHAPE_PATIENTS && b.kind == ACCESS_SHAPE_PATIENTS && a.levels == b.levels)
		return a;
	/* within what either leaves of the patients' rows */
	if (a.kind != ACCESS_SHAPE_BY_ROW)
		return (AccessShape){ACCESS_SHAPE_WITHIN, a.levels};
	if (b.kind != ACCESS_SHAPE_BY_ROW)
		return (AccessShape){ACCESS_SHAPE_WITHIN, b.levels};
	return a;
}

static AccessShape
type_shape(const Session *session, const AccessTable *table, int type, const int *letters,
		   int n_letters)
{
	const AccessGrants *grants = access_session_grants(session, table->version, type);
	const char *name = fhir_type_name(table->version, type);
	bool shared = access_table_shares(table, name, strlen(name));
	bool in_compartment = fhir_type_in_compartment(table->version, type);
	AccessShape shape = {ACCESS_SHAPE_ALL, 0};

	for (int i = 0; i < n_letters; i++)
		shape =
			both(shape, letter_shape(session, table, grants, shared, in_compartment, letters[i]));
	return shape;
}

AccessShape
access_shape(const Session *session, const AccessTable *table, int type, AccessCommand command)
{
	AccessShape shape;
	int letters[2];
	int n_letters;

	if (command == COMMAND_INSERT)
		return (AccessShape){ACCESS_SHAPE_BY_ROW, 0};
	if (!access_base_is_open(session, table))
		return (AccessShape){ACCESS_SHAPE_NOTHING, 0};
	n_letters = access_command_letters(session, command, letters);
	if (type >= 0)
		return type_shape(session, table, type, letters, n_letters);

	/* rows of every type: the shape that holds for all of them */
	shape = type_shape(session, table, 0, letters, n_letters);
	for (type = 1; type < fhir_type_count(table->version); type++)
	{
		AccessShape one = type_shape(session, table, type, letters, n_letters);
		bool same = one.kind == shape.kind && one.levels == shape.levels;

		if (same)
			continue;
		if (shape.kind == ACCESS_SHAPE_BY_ROW || shape.kind == ACCESS_SHAPE_ALL ||
			one.kind == ACCESS_SHAPE_BY_ROW || one.kind == ACCESS_SHAPE_ALL)
			return (AccessShape){ACCESS_SHAPE_BY_ROW, 0};
		shape = (AccessShape){ACCESS_SHAPE_WITHIN, shape.levels | one.levels};
	}
	return shape;
}
