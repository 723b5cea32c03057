/*
 * src/session/trail.c
 *		Who listens. See src/session/trail.h.
 */
#include "postgres.h"

#include "compat.h"
#include "session/trail.h"

bool trail_on = false;
const Trail *trail = NULL;
