/*
 * src/access/reach.c
 *		Is a patient among those that a level of the session reaches?
 *
 * Short lists are gone through. For a long one a table of hashes is made, once some rows have
 * asked: a request that reads a single row is through sooner without. It holds offsets into the
 * session, whose texts are the same as long as its generation is, and one table a level is all
 * that is kept. Decides nothing.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "access/reach.h"
#include "compat.h"

/* Up to this many are compared one by one. */
#define SHORT_LIST 16
/* So many look-ups go through a long list before a table is made: it costs as much. */
#define LOOKUPS_BEFORE_TABLE 8
#define HASHED_BYTES 64

typedef struct ReachTable
{
	uint64 generation;
	int lookups;
	MemoryContext context; /* of the slots; NULL: not made yet */
	uint32 mask;
	int32 *slots; /* offset of a text in the session; 0: free */
} ReachTable;

/* of patient/ and user/, for the session that asked last */
static ReachTable tables[2];

/* Equal for texts that differ in case alone. */
static uint32
hash_text(const char *text, int len)
{
	unsigned char folded[HASHED_BYTES];

	len = Min(len, HASHED_BYTES);
	for (int i = 0; i < len; i++)
		folded[i] = (unsigned char) text[i] | 0x20;
	return hash_bytes(folded, len);
}

static bool
equals(const char *text, FhirText key, bool any_case)
{
	return strlen(text) == (size_t) key.len &&
		   (any_case ? pg_strncasecmp(text, key.data, key.len) == 0
					 : memcmp(text, key.data, key.len) == 0);
}

static bool
list_contains(const Session *session, SessionTexts patients, FhirText key, bool any_case)
{
	const char *text = session_texts_first(session, patients);

	for (int i = 0; i < patients.n; i++, text = session_texts_next(text))
		if (equals(text, key, any_case))
			return true;
	return false;
}

static bool
table_contains(const Session *session, const ReachTable *table, FhirText key, bool any_case)
{
	uint32 i = hash_text(key.data, key.len) & table->mask;

	for (; table->slots[i] != 0; i = (i + 1) & table->mask)
		if (equals((const char *) session + table->slots[i], key, any_case))
			return true;
	return false;
}

/* Made whole in a context of the caller's, so that an error half way leaves none. */
static void
make_table(const Session *session, SessionTexts patients, ReachTable *table)
{
	uint32 size = pg_nextpower2_32((uint32) patients.n * 2);
	const char *text = session_texts_first(session, patients);
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "smart_fhir reach", ALLOCSET_SMALL_SIZES);
	int32 *slots = MemoryContextAllocExtended(
		context, sizeof(int32) * (Size) size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	for (int n = 0; n < patients.n; n++, text = session_texts_next(text))
	{
		FhirText key = {text, (int) strlen(text)};
		uint32 i = hash_text(key.data, key.len) & (size - 1);

		if (n % 1024 == 1023)
			CHECK_FOR_INTERRUPTS();
		while (slots[i] != 0 && !equals((const char *) session + slots[i], key, false))
			i = (i + 1) & (size - 1);
		slots[i] = (int32) (text - (const char *) session);
	}
	MemoryContextSetParent(context, TopMemoryContext);
	table->context = context;
	table->mask = size - 1;
	table->slots = slots;
}

bool
access_reaches(const Session *session, ScopeLevel level, FhirText key, bool any_case)
{
	SessionTexts patients = access_reached_patients(session, level);
	ReachTable *table = &tables[level == SCOPE_LEVEL_PATIENT ? 0 : 1];

	if (patients.n <= SHORT_LIST || session->generation == 0)
		return list_contains(session, patients, key, any_case);
	if (table->generation != session->generation)
	{
		if (table->context != NULL)
			MemoryContextDelete(table->context);
		memset(table, 0, sizeof(*table));
		table->generation = session->generation;
	}
	if (table->context == NULL)
	{
		if (table->lookups++ < LOOKUPS_BEFORE_TABLE)
			return list_contains(session, patients, key, any_case);
		make_table(session, patients, table);
	}
	return table_contains(session, table, key, any_case);
}
