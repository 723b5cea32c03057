/*
 * src/policy/follow_kept.c
 *		Rows that an UPDATE moves to another partition. See follow_kept.h.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "compat.h"
#include "jose/evp.h"
#include "policy/follow_kept.h"
#include "policy/follow_links.h"

#define DIGEST_BYTES 32

typedef struct MovedRow
{
	uint8 digest[DIGEST_BYTES];
	int rows; /* inserted so, and not yet looked at afterwards */
} MovedRow;

/* In TopTransactionContext, or NULL. */
typedef struct KeptRows
{
	StringInfoData last; /* as row_text() says it; empty: none */
	HTAB *moved;		 /* MovedRow */
} KeptRows;

static KeptRows *kept = NULL;

static void
forget(void *arg)
{
	kept = NULL;
}

static KeptRows *
kept_rows(void)
{
	MemoryContext old;
	MemoryContextCallback *callback;
	HASHCTL control = {.keysize = DIGEST_BYTES, .entrysize = sizeof(MovedRow)};

	if (kept != NULL)
		return kept;
	old = MemoryContextSwitchTo(TopTransactionContext);
	callback = palloc0(sizeof(MemoryContextCallback));
	callback->func = forget;
	MemoryContextRegisterResetCallback(TopTransactionContext, callback);
	control.hcxt = TopTransactionContext;
	kept = palloc0(sizeof(KeptRows));
	initStringInfo(&kept->last);
	kept->moved =
		hash_create("smart_fhir moved rows", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	MemoryContextSwitchTo(old);
	return kept;
}

/* Table, patient and named records, appended; no two rows that differ in one are said alike. */
static void
append_row(StringInfo text, Relation rel, const char *patient, const NamedRecord *named, int n)
{
	appendStringInfo(
		text, "%u %zu %s", follow_root(RelationGetRelid(rel)), strlen(patient), patient);
	for (int i = 0; i < n; i++)
	{
		appendStringInfo(text, " %d %d ", named[i].local, named[i].type.len);
		appendBinaryStringInfo(text, named[i].type.data, named[i].type.len);
		appendStringInfo(text, " %d ", named[i].id.len);
		appendBinaryStringInfo(text, named[i].id.data, named[i].id.len);
	}
}

static bool
digest_row(const StringInfoData *text, uint8 *digest)
{
	return evp_digest(JOSE_SHA256, text->data, (size_t) text->len, digest);
}

void
follow_note_kept(Relation rel, const char *patient, const NamedRecord *named, int n)
{
	if (!rel->rd_rel->relispartition || (patient == NULL && kept == NULL))
		return;
	resetStringInfo(&kept_rows()->last);
	if (patient != NULL)
		append_row(&kept->last, rel, patient, named, n);
}

bool
follow_is_moving(Relation rel, const char *patient, const NamedRecord *named, int n)
{
	uint8 digest[DIGEST_BYTES];
	StringInfoData text;
	MovedRow *row;
	bool found;

	if (kept == NULL || kept->last.len == 0 || patient == NULL || !rel->rd_rel->relispartition)
		return false;
	initStringInfo(&text);
	append_row(&text, rel, patient, named, n);
	if (text.len != kept->last.len || memcmp(text.data, kept->last.data, text.len) != 0 ||
		!digest_row(&text, digest))
		return false;
	/* once */
	resetStringInfo(&kept->last);
	row = hash_search(kept->moved, digest, HASH_ENTER, &found);
	row->rows = found ? row->rows + 1 : 1;
	return true;
}

bool
follow_has_moved(Relation rel, const char *patient, const NamedRecord *named, int n)
{
	uint8 digest[DIGEST_BYTES];
	StringInfoData text;
	MovedRow *row;

	if (kept == NULL || patient == NULL || !rel->rd_rel->relispartition ||
		hash_get_num_entries(kept->moved) == 0)
		return false;
	initStringInfo(&text);
	append_row(&text, rel, patient, named, n);
	row = digest_row(&text, digest) ? hash_search(kept->moved, digest, HASH_FIND, NULL) : NULL;
	if (row == NULL)
		return false;
	if (--row->rows == 0)
		(void) hash_search(kept->moved, digest, HASH_REMOVE, NULL);
	return true;
}
