/*
 * programs/smart_fhir_keys/address.h
 *		Where an address leads: to this machine, to everybody's network, or elsewhere.
 */
#ifndef SMART_FHIR_KEYS_ADDRESS_H
#define SMART_FHIR_KEYS_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* 127.0.0.0/8 and ::1, IPv4-mapped too. */
extern bool address_is_loopback(const struct sockaddr *address);

/*
 * Globally reachable, as IANA's registries of special-purpose addresses have it (RFC 6890), less
 * multicast. A form that carries an IPv4 address (mapped, NAT64, 6to4) is what that one is. What
 * is not known to be public is not.
 */
extern bool address_is_public(const struct sockaddr *address);

#endif /* SMART_FHIR_KEYS_ADDRESS_H */
