/*
 * fuzz/fuzz_scope.c
 *		libFuzzer over the core of the scope type: grammar, canonical form, order.
 *
 * The input is two scope texts with a line feed between them. Beside the sanitizers, the laws are
 * the oracle: text is a fixed point, covers agrees with its definition over the items, & and |
 * are meet and join, a claim keeps what the strict parser takes. Seeds: fuzz/corpus/scope.
 *
 * Build: clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
 *		-Wno-ignored-attributes -I"$(pg_config --includedir-server)" -Isrc fuzz/fuzz_scope.c \
 *		src/scope/letters.c src/scope/parse.c src/scope/constraint.c src/scope/set.c \
 *		src/scope/cover.c src/scope/order.c \
 *		-o fuzz/build/fuzz_scope
 */
#include "postgres.h"

#include <signal.h>

#include "scope/order.h"
#include "scope/parse.h"

/* What the core needs of the server; all memory of one run is freed after it. */
typedef struct Chunk
{
	struct Chunk *next;
	struct Chunk *previous;
	size_t size;
	size_t padding;
} Chunk;

static Chunk chunks = {&chunks, &chunks, 0, 0};

volatile sig_atomic_t InterruptPending = false;

void
ProcessInterrupts(void)
{
}

void *
palloc(Size size)
{
	Chunk *chunk = malloc(sizeof(Chunk) + size);

	if (chunk == NULL)
		abort();
	memset(chunk + 1, 0x7F, size);
	chunk->size = size;
	chunk->next = chunks.next;
	chunk->previous = &chunks;
	chunks.next->previous = chunk;
	chunks.next = chunk;
	return chunk + 1;
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

void
pfree(void *pointer)
{
	Chunk *chunk = (Chunk *) pointer - 1;

	chunk->next->previous = chunk->previous;
	chunk->previous->next = chunk->next;
	free(chunk);
}

void *
repalloc(void *pointer, Size size)
{
	void *result = palloc(size);

	memcpy(result, pointer, Min(size, ((Chunk *) pointer - 1)->size));
	pfree(pointer);
	return result;
}

char *
pnstrdup(const char *text, Size len)
{
	char *result;

	len = strnlen(text, len);
	result = palloc(len + 1);
	memcpy(result, text, len);
	result[len] = '\0';
	return result;
}

char *
pstrdup(const char *text)
{
	return pnstrdup(text, strlen(text));
}

#define CHECK(condition)                                                                           \
	do                                                                                             \
	{                                                                                              \
		if (!(condition))                                                                          \
		{                                                                                          \
			fputs("broken law: " #condition "\n", stderr);                                         \
			abort();                                                                               \
		}                                                                                          \
	} while (0)

static bool
params_within(const ScopeItem *wide, const ScopeItem *narrow)
{
	for (int i = 0; i < wide->n_params; i++)
	{
		bool found = false;

		for (int j = 0; j < narrow->n_params && !found; j++)
			found = strcmp(wide->params[i].name, narrow->params[j].name) == 0 &&
					strcmp(wide->params[i].value, narrow->params[j].value) == 0;
		if (!found)
			return false;
	}
	return true;
}

/* The definition of covers, item by item. */
static bool
covers_by_items(const ScopeList *a, const ScopeList *b)
{
	for (int i = 0; i < b->n_items; i++)
	{
		const ScopeItem *narrow = &b->items[i];
		int letters = narrow->kind == SCOPE_KIND_RESOURCE ? narrow->permissions : 1;

		for (int j = 0; j < a->n_items; j++)
		{
			const ScopeItem *wide = &a->items[j];

			if (narrow->kind != SCOPE_KIND_RESOURCE)
				letters &= strcmp(wide->text, narrow->text) == 0 ? 0 : ~0;
			else if (wide->kind == SCOPE_KIND_RESOURCE && wide->level == narrow->level &&
					 (strcmp(wide->resource_type, "*") == 0 ||
					  strcmp(wide->resource_type, narrow->resource_type) == 0) &&
					 params_within(wide, narrow))
				letters &= ~wide->permissions;
		}
		if (letters != 0)
			return false;
	}
	return true;
}

static bool
is_same(const ScopeList *a, const ScopeList *b)
{
	return strcmp(scope_list_text(a), scope_list_text(b)) == 0;
}

/* Parse, and try what holds for one value. */
static bool
parse_one(const char *text, size_t len, ScopeList *list)
{
	ScopeList again;
	ScopeList claim;
	ScopeIgnored *ignored;
	ScopeError error;
	int n_ignored;
	char *canonical;
	bool good;

	scope_parse_claim(text, len, &claim, &n_ignored, &ignored);
	canonical = scope_list_text(&claim);
	CHECK(scope_parse(canonical, strlen(canonical), &again, &error) && is_same(&claim, &again));
	for (int i = 0; i < n_ignored; i++)
		CHECK(ignored[i].text != NULL && ignored[i].reason != NULL);

	good = scope_parse(text, len, list, &error);
	CHECK(good == (n_ignored == 0));
	if (!good)
	{
		CHECK(error.reason != NULL && error.position >= 0 && (size_t) error.position <= len);
		return false;
	}
	CHECK(is_same(list, &claim));
	for (int i = 0; i < list->n_items; i++)
	{
		CHECK(i == 0 || strcmp(list->items[i - 1].text, list->items[i].text) < 0);
		CHECK(list->items[i].kind != SCOPE_KIND_RESOURCE || list->items[i].permissions != 0);
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	const char *cut = size > 0 ? memchr(text, '\n', size) : NULL;
	size_t len = cut ? (size_t) (cut - text) : size;
	ScopeList a;
	ScopeList b;
	ScopeList meet;
	ScopeList join;

	/* the definition is quadratic: leave out what alternatives multiplied */
	if (parse_one(text, len, &a) && cut != NULL && parse_one(cut + 1, size - len - 1, &b) &&
		a.n_items <= 100 && b.n_items <= 100)
	{
		CHECK(scope_list_covers(&a, &b) == covers_by_items(&a, &b));
		CHECK(scope_list_covers(&b, &a) == covers_by_items(&b, &a));
		CHECK(!covers_by_items(&a, &b) || !covers_by_items(&b, &a) || is_same(&a, &b));
		if (scope_list_join(&a, &b, &join))
			CHECK(covers_by_items(&join, &a) && covers_by_items(&join, &b));
		if (scope_list_meet(&a, &b, &meet))
		{
			CHECK(covers_by_items(&a, &meet) && covers_by_items(&b, &meet));
			CHECK(covers_by_items(&a, &b) == is_same(&meet, &b));
		}
	}
	while (chunks.next != &chunks)
		pfree(chunks.next + 1);
	return 0;
}
