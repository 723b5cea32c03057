/*
 * src/audit/text.c
 *		JSON in ASCII. See src/audit/text.h.
 *
 * Values come from anybody. Control characters, quotes and all beyond ASCII are escaped, tokens and
 * secrets masked, and the second of two spaces is escaped too: PostgreSQL writes two behind each line's
 * severity, so that no record can hold what begins another line's message (tools/audit.sh rests on it). Nor
 * can it hold the mark that records begin with.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/string.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "compat.h"
#include "audit/text.h"
#include "session/log_mask.h"

/* Of an escaped pair of surrogates. */
#define LONGEST_ESCAPE 12

/* Room that is kept for what closes arrays. */
#define ROOM_TO_CLOSE 8

static bool
has_room(const AuditText *out, int len)
{
	return out->len + len + ROOM_TO_CLOSE <= out->size;
}

bool
text_raw(AuditText *out, const char *json, int len)
{
	if (!has_room(out, len))
	{
		out->clipped = true;
		return false;
	}
	memcpy(out->data + out->len, json, len);
	out->len += len;
	return true;
}

static int
escape_unit(char *out, unsigned int unit)
{
	static const char hex[] = "0123456789abcdef";

	out[0] = '\\';
	out[1] = 'u';
	for (int i = 0; i < 4; i++)
		out[2 + i] = hex[(unit >> (12 - 4 * i)) & 0x0F];
	return 6;
}

static int
escape_beyond(char *out, pg_wchar c)
{
	if (c < 0x10000)
		return escape_unit(out, c);
	c -= 0x10000;
	(void) escape_unit(out, 0xD800 + (c >> 10));
	(void) escape_unit(out + 6, 0xDC00 + (c & 0x3FF));
	return 12;
}

/* One character, of *used bytes; what is no UTF-8 is a byte. */
static int
escape(char *out, const char *at, const char *end, char before, int *used)
{
	unsigned char c = *at;
	int len;

	*used = 1;
	switch (c)
	{
		case '"':
		case '\\':
			out[0] = '\\';
			out[1] = c;
			return 2;
		case '\n':
			memcpy(out, "\\n", 2);
			return 2;
		case ':':
			if (before == 't' && at + 1 < end && at[1] == ' ')
				return escape_unit(out, c);
			out[0] = c;
			return 1;
		case ' ':
			if (before == ' ')
				return escape_unit(out, c);
			out[0] = c;
			return 1;
		default:
			break;
	}
	if (c >= 0x20 && c < 0x7F)
	{
		out[0] = c;
		return 1;
	}
	len = pg_utf_mblen((const unsigned char *) at);
	if (c < 0x80 || len > end - at || !pg_utf8_islegal((const unsigned char *) at, len))
		return escape_unit(out, c);
	*used = len;
	return escape_beyond(out, utf8_to_unicode((const unsigned char *) at));
}

/* Bytes that are written as they are, whatever stands beside them. */
static bool
is_plain(unsigned char c)
{
	return c > ' ' && c < 0x7F && c != '"' && c != '\\' && c != ':';
}

/* At most *room bytes are written; false: cut short. */
static bool
put_plain(AuditText *out, const char *value, size_t len, int *room)
{
	const char *end = value + len;
	char before = '\0';

	while (value < end)
	{
		char escaped[LONGEST_ESCAPE];
		const char *run = value;
		int used;
		int n;

		while (run < end && is_plain((unsigned char) *run))
			run++;
		n = Min(run - value, *room);
		if (n > 0)
		{
			memcpy(out->data + out->len, value, n);
			out->len += n;
			*room -= n;
			before = value[n - 1];
			value += n;
			if (value < run)
				return false;
			continue;
		}
		if (value < run)
			return false;
		n = escape(escaped, value, end, before, &used);
		if (n > *room)
			return false;
		memcpy(out->data + out->len, escaped, n);
		out->len += n;
		*room -= n;
		before = *value;
		value += used;
	}
	return true;
}

/* A value in UTF-8, where it is not that already and PostgreSQL can convert it now. */
static const char *
as_utf8(const char *value)
{
	int encoding = GetDatabaseEncoding();
	int len = strlen(value);

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII || !IsTransactionState() ||
		pg_is_ascii(value))
		return value;
	return (const char *) pg_do_encoding_conversion(
		(unsigned char *) unconstify(char *, value), len, encoding, PG_UTF8);
}

/* With its quotes; at most so many bytes between them. */
static bool
put_string(AuditText *out, const char *value, int most)
{
	int room = Min(most, out->size - out->len - 2 - ROOM_TO_CLOSE);
	const char *token;
	size_t token_len;
	bool whole = true;

	if (room < 0)
	{
		out->clipped = true;
		return false;
	}
	value = as_utf8(value);
	out->data[out->len++] = '"';
	while (whole && (token = log_mask_find(value, &token_len)) != NULL)
	{
		whole = put_plain(out, value, token - value, &room) &&
				put_plain(out, LOG_MASK, strlen(LOG_MASK), &room);
		value = token + token_len;
	}
	whole = whole && put_plain(out, value, strlen(value), &room);
	out->data[out->len++] = '"';
	if (!whole)
		out->clipped = true;
	return true;
}

static bool
put_name(AuditText *out, const char *name)
{
	int len = strlen(name);

	if (!has_room(out, len + 4))
	{
		out->clipped = true;
		return false;
	}
	out->data[out->len++] = ',';
	out->data[out->len++] = '"';
	memcpy(out->data + out->len, name, len);
	out->len += len;
	out->data[out->len++] = '"';
	out->data[out->len++] = ':';
	return true;
}

static void
put_member(AuditText *out, const char *name, const char *value, int most)
{
	int before = out->len;

	if (value == NULL)
		return;
	if (!put_name(out, name) || !put_string(out, value, most))
		out->len = before;
}

void
text_member(AuditText *out, const char *name, const char *value)
{
	put_member(out, name, value, AUDIT_TEXT);
}

void
text_long_member(AuditText *out, const char *name, const char *value)
{
	put_member(out, name, value, AUDIT_LONG_TEXT);
}

void
text_number(AuditText *out, const char *name, int64 value)
{
	char digits[32];
	int len = pg_lltoa(value, digits);
	int before = out->len;

	if (!put_name(out, name) || !text_raw(out, digits, len))
		out->len = before;
}

void
text_true(AuditText *out, const char *name)
{
	int before = out->len;

	if (!put_name(out, name) || !text_raw(out, "true", 4))
		out->len = before;
}

bool
text_open(AuditText *out, const char *name)
{
	int before = out->len;

	if (!put_name(out, name) || !text_raw(out, "[", 1))
	{
		out->len = before;
		return false;
	}
	return true;
}

static void
put_comma(AuditText *out)
{
	if (out->data[out->len - 1] != '[')
		out->data[out->len++] = ',';
}

bool
text_element(AuditText *out, const char *value)
{
	int before = out->len;

	if (!has_room(out, AUDIT_TEXT + 3))
	{
		out->clipped = true;
		return false;
	}
	put_comma(out);
	if (!put_string(out, value, AUDIT_TEXT))
	{
		out->len = before;
		return false;
	}
	return true;
}

bool
text_element_number(AuditText *out, int64 value)
{
	char digits[32];
	int len = pg_lltoa(value, digits);

	if (!has_room(out, len + 1))
		return false;
	put_comma(out);
	return text_raw(out, digits, len);
}

void
text_close(AuditText *out)
{
	out->data[out->len++] = ']';
}
