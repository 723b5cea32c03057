/*
 * fuzz/fuzz_jose.c
 *		libFuzzer target for what reads a token before its signature is known: the split,
 *		base64url and the JSON check.
 *
 * Beside "no crash" it holds that one byte string has one spelling, and that texts with
 * unique members are among those without that rule. Build:
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -Isrc -I$(pg_config --includedir-server) \
 *     -o fuzz/build/fuzz_jose fuzz/fuzz_jose.c src/jose/b64.c src/jose/json.c \
 *     src/jose/utf8.c
 */
#include "postgres.h"

#include "jose/b64.h"
#include "jose/json.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                           \
	do                                                                                             \
	{                                                                                              \
		if (!(condition))                                                                          \
			__builtin_trap();                                                                      \
	} while (0)

static void
check_json(const char *text, size_t len)
{
	JsonRules strict = {64, true, false};
	JsonRules loose = {JSON_DEPTH_CAP, false, false};
	JsonRules ascii = {64, true, true};
	bool is_strict = json_check(text, len, &strict);

	if (is_strict)
		CHECK(json_check(text, len, &loose));
	if (json_check(text, len, &ascii))
		CHECK(is_strict);
}

/* Decode and encode again: the same characters. The JSON check gets what came out. */
static void
check_base64url(const char *text, size_t len)
{
	unsigned char *bytes = malloc(B64URL_DECODED_MAX(len));
	char *again = malloc(B64URL_ENCODED_LEN(B64URL_DECODED_MAX(len)) + 4);
	size_t n;

	if (b64url_decode(text, len, bytes, &n))
	{
		CHECK(n <= B64URL_DECODED_MAX(len));
		CHECK(B64URL_ENCODED_LEN(n) == len);
		CHECK(b64url_encode(bytes, n, again) == len && memcmp(text, again, len) == 0);
		check_json((const char *) bytes, n);
	}
	free(again);
	free(bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	JwsParts parts;

	if (jws_split(text, size, &parts))
	{
		CHECK(parts.header_len + parts.payload_len + parts.signature_len + 2 == size);
		check_base64url(parts.header, parts.header_len);
		check_base64url(parts.payload, parts.payload_len);
		check_base64url(parts.signature, parts.signature_len);
	}
	check_base64url(text, size);
	check_json(text, size);
	return 0;
}
