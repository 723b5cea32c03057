/*
 * src/oauth/guess.c
 *		The counter of guessed user codes (RFC 8628 5.1), which no ROLLBACK reaches.
 *
 * Whoever asks does so in a transaction of his own, and can roll it back. So the rows of smart_internal.oauth_guess, made
 * with the extension and of fixed width, are changed in place on their page, under the page's lock and with a WAL record
 * of their own (generic WAL), as PostgreSQL changes some of its catalogs. A person's page is found by a hash
 * of the name; on it a row is whose hash stands in it until its minute is over. Where all rows of a page are taken, a
 * person shares one, which costs no more than a 429 too early. Nobody waits for anybody's transaction.
 *
 * The hash has no key: who a person is says the front end, and nobody chooses it to meet another's.
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "tcop/utility.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "oauth/guess.h"
#include "oauth/secret.h"
#include "oauth/store.h"

#define WINDOW_SECS 60

/* As smart_internal.oauth_guess is stored. */
typedef struct Guess
{
	int64 person;
	int64 since;
	int32 guesses;
	int32 unused;
} Guess;

typedef enum GuessChange
{
	GUESS_TAKE,
	GUESS_GIVE_BACK
} GuessChange;

/* The row at this place of the page; NULL: there is none of ours. */
static Guess *
row_at(Page page, OffsetNumber offset)
{
	ItemId item = PageGetItemId(page, offset);
	HeapTupleHeader tuple;

	if (!ItemIdIsNormal(item))
		return NULL;
	tuple = (HeapTupleHeader) PageGetItem(page, item);
	if (HeapTupleHeaderGetNatts(tuple) != GUESS_UNUSED || (tuple->t_infomask & HEAP_HASNULL) != 0 ||
		ItemIdGetLength(item) != tuple->t_hoff + sizeof(Guess))
		return NULL;
	return (Guess *) ((char *) tuple + tuple->t_hoff);
}

static bool
is_over(const Guess *guess, int64 now)
{
	return now - guess->since >= WINDOW_SECS || now < guess->since;
}

/* The person's row, else one that is free, else one to share; NULL: the page has none. */
static Guess *
find_row(Page page, int64 person, int64 now)
{
	OffsetNumber last = PageGetMaxOffsetNumber(page);
	Guess *unused = NULL;
	Guess *shared = NULL;
	uint64 share = (uint64) person % Max(last, 1) + 1;

	for (OffsetNumber offset = FirstOffsetNumber; offset <= last; offset++)
	{
		Guess *guess = row_at(page, offset);

		if (guess == NULL)
			continue;
		if (is_over(guess, now))
			unused = guess;
		else if (guess->person == person)
			return guess;
		if (shared == NULL || offset <= share)
			shared = guess;
	}
	return unused != NULL ? unused : shared;
}

/* Change one row; false when there was nothing to take. */
static bool
change(Page page, int64 person, GuessChange what, int *wait)
{
	int64 now = GetCurrentTimestamp() / USECS_PER_SEC;
	Guess *guess = find_row(page, person, now);

	*wait = WINDOW_SECS;
	if (guess == NULL)
		return false;
	if (what == GUESS_GIVE_BACK)
	{
		if (!is_over(guess, now) && guess->guesses > 0)
			guess->guesses--;
		return true;
	}
	if (is_over(guess, now))
	{
		guess->person = person;
		guess->since = now;
		guess->guesses = 0;
	}
	*wait = (int) (WINDOW_SECS - (now - guess->since));
	if (guess->guesses >= GUESS_LIMIT)
		return false;
	guess->guesses++;
	return true;
}

static bool
change_in_place(const char *person, GuessChange what, int *wait)
{
	bytea *hash = secret_hash(person, strlen(person));
	uint64 number[2];
	Relation rel;
	BlockNumber blocks;
	Buffer buffer;
	GenericXLogState *state;
	bool changed;

	memcpy(number, VARDATA(hash), sizeof(number));
	PreventCommandIfReadOnly("counting user codes");
	PreventCommandIfParallelMode("counting user codes");
	/* so that nothing moves its rows to other pages */
	rel = table_open(store_table_oid(STORE_GUESS), RowExclusiveLock);
	blocks = RelationGetNumberOfBlocks(rel);
	*wait = WINDOW_SECS;
	if (blocks == 0)
	{
		table_close(rel, RowExclusiveLock);
		return false;
	}
	buffer = ReadBuffer(rel, (BlockNumber) (number[1] % blocks));
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	state = GenericXLogStart(rel);
	changed = change(GenericXLogRegisterBuffer(state, buffer, 0), (int64) number[0], what, wait);
	if (changed)
		(void) GenericXLogFinish(state);
	else
		GenericXLogAbort(state);
	UnlockReleaseBuffer(buffer);
	table_close(rel, RowExclusiveLock);
	return changed;
}

bool
guess_take(const char *person, int *wait)
{
	return change_in_place(person, GUESS_TAKE, wait);
}

void
guess_give_back(const char *person)
{
	int wait;

	(void) change_in_place(person, GUESS_GIVE_BACK, &wait);
}
