/*
 * fuzz/fuzz_key_uri.c
 *		What smart_fhir_keys reads itself of what others wrote: URIs, content types, addresses.
 *
 * Build: clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
 *   -D_GNU_SOURCE -Iprograms/smart_fhir_keys fuzz/fuzz_key_uri.c programs/smart_fhir_keys/uri.c \
 *   programs/smart_fhir_keys/address.c -lcurl -o fuzz/build/fuzz_key_uri
 */
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "uri.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect(bool holds)
{
	if (!holds)
		abort();
}

/* What is taken goes over https, or to this machine; a stranger's over https on its port alone. */
static void
check_uri(const char *text, bool loopback_http, bool public_only)
{
	const UriRules rules = {loopback_http, public_only};
	Uri uri;
	char *user = NULL;
	char *port = NULL;

	if (!uri_read(&uri, text, &rules))
		return;
	expect(strncasecmp(text, "https:", 6) == 0 || strncasecmp(text, "http:", 5) == 0 ||
		   strchr(text, ':') == NULL || strstr(text, "://") == NULL);
	expect(curl_url_get(uri.parsed, CURLUPART_USER, &user, 0) == CURLUE_NO_USER);
	expect(strchr(text, '#') == NULL && strlen(text) <= 2048);
	expect(uri.host != NULL && uri.host[0] != '\0');
	if (uri.loopback)
		expect(loopback_http && !public_only &&
			   (strcmp(uri.host, "localhost") == 0 || strcmp(uri.host, "127.0.0.1") == 0 ||
				strcmp(uri.host, "[::1]") == 0));
	if (public_only)
	{
		expect(curl_url_get(uri.parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK);
		expect(strcmp(port, "443") == 0);
	}
	curl_free(user);
	curl_free(port);
	uri_free(&uri);
}

/* No address is both; a mapped one is what it carries. */
static void
check_address(const uint8_t *data)
{
	struct sockaddr_in four = {.sin_family = AF_INET};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6};

	memcpy(&four.sin_addr, data, 4);
	memcpy(&six.sin6_addr, data, 16);
	mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
	memcpy(mapped.sin6_addr.s6_addr + 12, data, 4);
	expect(!(address_is_public((struct sockaddr *) &six) &&
			 address_is_loopback((struct sockaddr *) &six)));
	expect(!(address_is_public((struct sockaddr *) &four) &&
			 address_is_loopback((struct sockaddr *) &four)));
	expect(address_is_public((struct sockaddr *) &four) ==
		   address_is_public((struct sockaddr *) &mapped));
	expect(address_is_loopback((struct sockaddr *) &four) ==
		   address_is_loopback((struct sockaddr *) &mapped));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	for (int i = 0; i < 4; i++)
		check_uri(text, i & 1, i & 2);
	content_type_is_json(text);
	if (size >= 16)
		check_address(data);
	free(text);
	return 0;
}
