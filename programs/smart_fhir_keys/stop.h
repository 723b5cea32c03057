/*
 * programs/smart_fhir_keys/stop.h
 *		The end of the program, which every thread that waits hears of; and the clock they wait by.
 */
#ifndef SMART_FHIR_KEYS_STOP_H
#define SMART_FHIR_KEYS_STOP_H

#include <stdbool.h>

extern bool stop_init(void);
/* Called by the main thread alone. */
extern void stop_now(void);
extern bool stopping(void);
/* Readable from stop_now() on. */
extern int stop_fd(void);

/* Seconds of a clock that nobody sets. */
extern double now_seconds(void);

#endif /* SMART_FHIR_KEYS_STOP_H */
