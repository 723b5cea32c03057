/*
 * src/session/cursor.c
 *		WITH HOLD cursors: stored results that no check reaches.
 *
 * A held cursor would hand one session's rows to the next on a pooled connection, so login()
 * refuses while one is open. pg_cursors is asked only if a DECLARE ... WITH HOLD was seen
 * since it last answered no, or could have been run before this library was loaded.
 */
#include "postgres.h"

#include "executor/spi.h"

#include "compat.h"
#include "session/session.h"

static bool may_be_open = true;

void
session_note_held_cursor(void)
{
	may_be_open = true;
}

bool
session_has_held_cursor(void)
{
	bool found;

	if (!may_be_open)
		return false;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute("SELECT 1 FROM pg_catalog.pg_cursor() WHERE is_holdable", true, 1) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not list cursors");
	found = SPI_processed > 0;
	SPI_finish();
	may_be_open = found;
	return found;
}
