/*
 * src/audit/transaction.c
 *		Statements whose writes are recorded, until their transaction is over.
 *
 * The log keeps what was rolled back: so a record follows that says which statements count for nothing.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "audit/record.h"
#include "audit/transaction.h"

typedef struct Written
{
	int64 statement;
	SubTransactionId sub;
} Written;

/* In the order of their numbers, those of the innermost savepoint last. */
static Written *written = NULL;
static int n_written = 0;
static int capacity = 0;
static uint64 xid = 0;

void
transaction_members(AuditText *out)
{
	FullTransactionId top = GetTopFullTransactionIdIfAny();

	if (!FullTransactionIdIsValid(top))
		return;
	text_number(out, "xid", (int64) U64FromFullTransactionId(top));
	text_number(out, "sub", GetCurrentSubTransactionId());
}

void
transaction_note_write(int64 statement)
{
	SubTransactionId sub = GetCurrentSubTransactionId();
	FullTransactionId top = GetTopFullTransactionIdIfAny();

	if (FullTransactionIdIsValid(top))
		xid = U64FromFullTransactionId(top);
	if (n_written > 0 && written[n_written - 1].statement == statement &&
		written[n_written - 1].sub == sub)
		return;
	if (n_written == capacity)
	{
		int more = Max(64, capacity * 2);

		written = written == NULL ? MemoryContextAlloc(TopMemoryContext, sizeof(Written) * more)
								  : repalloc_huge(written, sizeof(Written) * (Size) more);
		capacity = more;
	}
	written[n_written].statement = statement;
	written[n_written].sub = sub;
	n_written++;
}

void
transaction_commit_sub(SubTransactionId sub, SubTransactionId parent)
{
	for (int i = n_written - 1; i >= 0 && written[i].sub >= sub; i--)
		written[i].sub = parent;
}

static AuditText *
begin_undone(void)
{
	AuditText *out = record_begin("undone");

	if (xid != 0)
		text_number(out, "xid", (int64) xid);
	(void) text_open(out, "statements");
	return out;
}

/* From this one on: in as many records as it takes. */
static void
undo_from(int first)
{
	AuditText *out;

	if (first == n_written)
		return;
	out = begin_undone();
	for (int i = first; i < n_written; i++)
	{
		if (written[i].statement == 0 || text_element_number(out, written[i].statement))
			continue;
		text_close(out);
		record_write();
		out = begin_undone();
		(void) text_element_number(out, written[i].statement);
	}
	text_close(out);
	record_write();
	n_written = first;
}

void
transaction_abort_sub(SubTransactionId sub)
{
	int first = n_written;

	while (first > 0 && written[first - 1].sub >= sub)
		first--;
	undo_from(first);
}

void
transaction_abort(void)
{
	undo_from(0);
	transaction_forget();
}

void
transaction_forget(void)
{
	n_written = 0;
	xid = 0;
	if (capacity > 1024)
	{
		pfree(written);
		written = NULL;
		capacity = 0;
	}
}

/* pg_prepared_xacts has 32 bits of it: of the same epoch as now, or of the one before. */
static uint64
full_number(TransactionId of)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint32 epoch = EpochFromFullTransactionId(next);

	if (of > XidFromFullTransactionId(next))
		epoch--;
	return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, of));
}

uint64
transaction_prepared(const char *gid)
{
	Oid types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(gid)};
	uint64 found = 0;

	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	if (SPI_execute_with_args("SELECT transaction FROM pg_catalog.pg_prepared_xact() WHERE gid "
							  "OPERATOR(pg_catalog.=) $1",
							  1,
							  types,
							  values,
							  NULL,
							  true,
							  1) == SPI_OK_SELECT &&
		SPI_processed == 1)
	{
		bool isnull;
		Datum number = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);

		if (!isnull)
			found = full_number(DatumGetTransactionId(number));
	}
	SPI_finish();
	PopActiveSnapshot();
	return found;
}

void
transaction_rolled_back_prepared(const char *gid, uint64 number)
{
	AuditText *out = record_begin("undone");

	if (number != 0)
		text_number(out, "xid", (int64) number);
	text_member(out, "gid", gid);
	record_write();
}
