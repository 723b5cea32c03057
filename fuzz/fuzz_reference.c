/*
 * fuzz/fuzz_reference.c
 *		libFuzzer target: references and patient keys (src/fhir/reference.c).
 *
 * First line of the input: base URL; the rest: the reference.
 *
 * Build: clang -g -O1 -w -fsanitize=fuzzer,address,undefined -Isrc \
 *		-I$($PG_CONFIG --includedir-server) fuzz/fuzz_reference.c -o fuzz/build/fuzz_reference
 */
#include "postgres.h"

#include "../src/fhir/reference.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *newline = size > 0 ? memchr(data, '\n', size) : NULL;
	FhirText base_url = {NULL, 0};
	FhirText reference = {(const char *) data, (int) size};
	FhirText key;

	if (newline != NULL)
	{
		base_url = (FhirText){(const char *) data, (int) (newline - (const char *) data)};
		reference = (FhirText){newline + 1, (int) (size - base_url.len - 1)};
	}
	if (fhir_reference_key(reference, base_url, &key))
	{
		FhirText again;

		/* A key lies in the reference; it is an id, or a URL that is its own key. */
		if (key.data < reference.data || key.data + key.len > reference.data + reference.len)
			__builtin_trap();
		if (!fhir_id_is_valid(key.data, key.len) &&
			(!fhir_reference_key(key, base_url, &again) || !fhir_text_equals(key, again)))
			__builtin_trap();
	}
	return 0;
}
