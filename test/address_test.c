/*
 * test/address_test.c
 *		Reads addresses, one a line, and says of each what smart_fhir_keys takes it for. Built and run by
 *		test/t/121_key_addresses.pl.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "../programs/smart_fhir_keys/address.h"

int
main(void)
{
	char line[128];

	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		struct sockaddr_storage storage = {.ss_family = AF_UNIX};
		struct sockaddr_in *four = (struct sockaddr_in *) &storage;
		struct sockaddr_in6 *six = (struct sockaddr_in6 *) &storage;
		const struct sockaddr *address = (const struct sockaddr *) &storage;

		line[strcspn(line, "\n")] = '\0';
		if (inet_pton(AF_INET, line, &four->sin_addr) == 1)
			storage.ss_family = AF_INET;
		else if (inet_pton(AF_INET6, line, &six->sin6_addr) == 1)
			storage.ss_family = AF_INET6;
		printf("%s %s %s\n",
			   line,
			   address_is_public(address) ? "public" : "not_public",
			   address_is_loopback(address) ? "loopback" : "elsewhere");
	}
	return 0;
}
