/*
 * src/policy/follow_find.c
 *		Whose the records are that another one names. See follow_find.h.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/tableam.h"

#include "access/access.h"
#include "compat.h"
#include "fhir/tables.h"
#include "policy/follow_find.h"
#include "policy/owner.h"

typedef struct Finding
{
	const char *patient; /* so far, palloc'd; NULL: none yet */
	bool nobody;		 /* two patients, or one that cannot be told */
	List *pending;		 /* patients of versions that others have not committed; "": nobody */
	/* of the record that is looked at */
	bool found;
	bool replacing;	 /* another transaction is changing it, or deleting it */
	List *inserting; /* as pending */
	bool may_name;	 /* records of its type name a patient */
} Finding;

static void
add_patient(Finding *finding, FhirText key)
{
	/* keys of other servers' patients are URLs */
	if (!fhir_id_is_valid(key.data, key.len))
		finding->nobody = true;
	else if (finding->patient == NULL)
		finding->patient = pnstrdup(key.data, key.len);
	else if (strlen(finding->patient) != (size_t) key.len ||
			 memcmp(finding->patient, key.data, key.len) != 0)
		finding->nobody = true;
}

static void
find_in_row(StoredTable *table, StoredRow *row, bool inserting, bool replacing, void *arg)
{
	Finding *finding = arg;
	const FhirKeys *keys = &row->patients.patients;

	finding->replacing |= replacing;
	if (row->patients.stray_key || (keys->n == 0 && finding->may_name))
	{
		if (inserting)
			finding->inserting = lappend(finding->inserting, pstrdup(""));
		else
			finding->nobody = true;
		return;
	}
	if (!inserting)
		finding->found = true;
	for (int i = 0; i < keys->n; i++)
	{
		if (!inserting)
			add_patient(finding, keys->keys[i]);
		else
			finding->inserting =
				lappend(finding->inserting, pnstrdup(keys->keys[i].data, keys->keys[i].len));
	}
}

static bool
same_base(FhirText a, FhirText b)
{
	if (a.data == NULL || b.data == NULL)
		return a.data == b.data;
	return fhir_text_equals(a, b);
}

static void
find_named(Following *state, StoredTable *follower, const NamedRecord *named, Finding *finding)
{
	int type = named->type.data == NULL
				   ? -1
				   : fhir_type_lookup(follower->table.version, named->type.data, named->type.len);
	bool typed = false;
	bool tells = false; /* a table of the type says whose its records are */

	finding->found = false;
	finding->replacing = false;
	finding->inserting = NIL;
	finding->may_name = fhir_type_in_compartment(follower->table.version, type);
	if (type < 0 || (!named->local && finding->may_name))
	{
		finding->nobody = true;
		return;
	}
	if (!named->local)
		return;
	if (named->type.len == 7 && memcmp(named->type.data, "Patient", 7) == 0)
	{
		add_patient(finding, named->id);
		return;
	}
	for (int i = 0; i < state->n_links; i++)
		typed |= strlen(state->links[i].type) == (size_t) named->type.len &&
				 memcmp(state->links[i].type, named->type.data, named->type.len) == 0;
	for (int i = 0; i < state->n_links; i++)
	{
		ListCell *cell;

		if (typed ? strlen(state->links[i].type) != (size_t) named->type.len ||
						memcmp(state->links[i].type, named->type.data, named->type.len) != 0
				  : strcmp(state->links[i].type, "*") != 0)
			continue;
		if (!owner_owns(follower->owner, state->links[i].relid))
			continue;
		foreach(cell, following_leaves(state, state->links[i].relid))
		{
			Relation rel = following_open(lfirst_oid(cell), follower->owner, AccessShareLock);
			StoredTable *table;

			if (rel == NULL)
				continue;
			table = following_table(state, rel);
			/* asked: tables of the same owner, about the same records */
			if (table != NULL && table->table.version == follower->table.version &&
				same_base(table->table.base_url, follower->table.base_url))
			{
				if (access_table_shares(&table->table, named->type.data, named->type.len))
					finding->may_name = false;
				else
				{
					tells |= table->table.has_patients;
					stored_rows_by_id(table, rel, named->type, named->id, find_in_row, finding);
				}
			}
			relation_close(rel, NoLock);
		}
	}
	/*
	 * What others have not committed counts where it may be what becomes of this record. Beside a
	 * record that nobody is changing it is a namesake (in another partition), filed later.
	 */
	if (finding->replacing || !finding->found)
		finding->pending = list_concat(finding->pending, finding->inserting);
	if (!finding->found && (finding->may_name || tells))
		finding->nobody = true;
}

const char *
follow_find_patient(Following *state, StoredTable *follower, const NamedRecord *named, int n)
{
	Finding finding = {0};
	ListCell *cell;

	following_links(state, follower->relid);
	finding.nobody = n < 0;
	/* all, whatever the first ones say: what was looked at, its writer sees in his statistics */
	for (int i = 0; i < n; i++)
		find_named(state, follower, &named[i], &finding);
	foreach(cell, finding.pending)
		if (finding.patient == NULL || strcmp(lfirst(cell), finding.patient) != 0)
			finding.nobody = true;
	return finding.nobody ? NULL : finding.patient;
}
