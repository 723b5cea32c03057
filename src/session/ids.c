/*
 * src/session/ids.c
 *		A list of distinct patient ids that may be long.
 *
 * A few are compared one by one; from SHORT_LIST on a hash table tells what is there, so that a
 * login of many patients does not cost their square.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "compat.h"
#include "session/session.h"

#define SHORT_LIST 16
/* Of a FHIR id, with the NUL. */
#define ID_SIZE 65

static void
make_table(SessionIds *ids)
{
	HASHCTL ctl = {0};
	ListCell *cell;

	ctl.keysize = ID_SIZE;
	ctl.entrysize = ID_SIZE;
	ctl.hcxt = CurrentMemoryContext;
	ids->seen = hash_create("smart_fhir ids", 256, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	foreach(cell, ids->list)
		(void) hash_search(ids->seen, lfirst(cell), HASH_ENTER, NULL);
}

void
session_ids_add(SessionIds *ids, const char *id, size_t len)
{
	char *copy;
	ListCell *cell;
	bool found = false;

	Assert(len < ID_SIZE);
	copy = pnstrdup(id, len);
	if (ids->seen == NULL && list_length(ids->list) >= SHORT_LIST)
		make_table(ids);
	if (ids->seen != NULL)
		(void) hash_search(ids->seen, copy, HASH_ENTER, &found);
	else
		foreach(cell, ids->list)
			found = found || strcmp(lfirst(cell), copy) == 0;
	if (!found)
		ids->list = lappend(ids->list, copy);
}
