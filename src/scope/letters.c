/*
 * src/scope/letters.c
 *		Permission letters as text and as bits.
 */
#include "postgres.h"

#include "scope/letters.h"

int
scope_permissions_parse(const char *text, size_t len)
{
	static const char letters[] = "cruds";
	int permissions = 0;
	int at = 0;

	for (size_t i = 0; i < len; i++)
	{
		while (at < 5 && letters[at] != text[i])
			at++;
		if (at == 5)
			return 0;
		permissions |= 1 << at++;
	}
	return permissions;
}

char *
scope_permissions_text(int permissions, char *buf)
{
	char *out = buf;

	for (int i = 0; i < 5; i++)
	{
		if (permissions & (1 << i))
			*out++ = "cruds"[i];
	}
	*out = '\0';
	return buf;
}
