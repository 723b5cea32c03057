/*
 * programs/smart_fhir_keys/address.c
 *		Judges addresses that a connection goes to. Knows nothing of names and of HTTP.
 */
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include "address.h"

typedef struct Block4
{
	uint32_t prefix;
	int bits;
} Block4;

typedef struct Block6
{
	uint8_t prefix[16];
	int bits;
} Block6;

/* Not globally reachable: IANA IPv4 Special-Purpose Address Registry, multicast, class E. */
static const Block4 special4[] = {
	{0x00000000, 8},  /* this network */
	{0x0a000000, 8},  /* private */
	{0x64400000, 10}, /* shared by carriers */
	{0x7f000000, 8},  /* loopback */
	{0xa9fe0000, 16}, /* link local: cloud metadata */
	{0xac100000, 12}, /* private */
	{0xc0000000, 24}, /* protocol assignments */
	{0xc0000200, 24}, /* documentation */
	{0xc0586300, 24}, /* 6to4 relays */
	{0xc0a80000, 16}, /* private */
	{0xc6120000, 15}, /* benchmarking */
	{0xc6336400, 24}, /* documentation */
	{0xcb007100, 24}, /* documentation */
	{0xe0000000, 4},  /* multicast */
	{0xf0000000, 4},  /* reserved, broadcast */
};

/* The only block that is handed out, RFC 4291 2.4. */
static const Block6 global6 = {{0x20}, 3};

/* Within it, not globally reachable: IANA IPv6 Special-Purpose Address Registry. */
static const Block6 special6[] = {
	{{0x20, 0x01}, 23},				/* protocol assignments, Teredo, ORCHID */
	{{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
	{{0x3f, 0xff}, 20},				/* documentation */
};

/* Forms that carry an IPv4 address, and after how many bytes. */
static const struct
{
	Block6 block;
	int at;
} carriers[] = {
	{{{[10] = 0xff, [11] = 0xff}, 96}, 12}, /* IPv4-mapped */
	{{{0x00, 0x64, 0xff, 0x9b}, 96}, 12},	/* NAT64, RFC 6052 */
	{{{0x20, 0x02}, 16}, 2},				/* 6to4 */
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static bool
in_block6(const uint8_t *address, const Block6 *block)
{
	int bytes = block->bits / 8;
	int rest = block->bits % 8;

	return memcmp(address, block->prefix, bytes) == 0 &&
		   (rest == 0 || (address[bytes] ^ block->prefix[bytes]) >> (8 - rest) == 0);
}

static uint32_t
read4(const uint8_t *bytes)
{
	return (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8 |
		   bytes[3];
}

static bool
is_public4(uint32_t address)
{
	for (size_t i = 0; i < LENGTH(special4); i++)
		if ((address ^ special4[i].prefix) >> (32 - special4[i].bits) == 0)
			return false;
	return true;
}

static bool
is_public6(const uint8_t *address)
{
	for (size_t i = 0; i < LENGTH(carriers); i++)
		if (in_block6(address, &carriers[i].block))
			return is_public4(read4(address + carriers[i].at));
	if (!in_block6(address, &global6))
		return false;
	for (size_t i = 0; i < LENGTH(special6); i++)
		if (in_block6(address, &special6[i]))
			return false;
	/* ISATAP, RFC 5214: an interface identifier that carries an IPv4 address */
	if ((address[8] & 0xfd) == 0 && address[9] == 0 && address[10] == 0x5e && address[11] == 0xfe)
		return is_public4(read4(address + 12));
	return true;
}

bool
address_is_public(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return is_public4(ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr));
	if (address->sa_family == AF_INET6)
		return is_public6(((const struct sockaddr_in6 *) address)->sin6_addr.s6_addr);
	return false;
}

bool
address_is_loopback(const struct sockaddr *address)
{
	static const uint8_t loopback6[16] = {[15] = 1};
	const uint8_t *six;

	if (address->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr) >> 24 == 127;
	if (address->sa_family != AF_INET6)
		return false;
	six = ((const struct sockaddr_in6 *) address)->sin6_addr.s6_addr;
	return memcmp(six, loopback6, 16) == 0 ||
		   (in_block6(six, &carriers[0].block) && six[12] == 127);
}
