/*
 * programs/smart_fhir_keys/host.h
 *		Hosts that are asked for strangers' sake: one request at a time each, over all databases.
 */
#ifndef SMART_FHIR_KEYS_HOST_H
#define SMART_FHIR_KEYS_HOST_H

#include <stdbool.h>

/* False: it is being asked. */
extern bool host_take(const char *host);
extern void host_give_back(const char *host);

#endif /* SMART_FHIR_KEYS_HOST_H */
