/*
 * src/jose/utf8.c
 *		UTF-8 sequences (RFC 3629) and the hexadecimal digits of JSON escapes. Pure.
 */
#include "postgres.h"

#include "jose/utf8.h"

int
utf8_length(const unsigned char *p, const unsigned char *end)
{
	unsigned char lead = p[0];
	ptrdiff_t left = end - p;

#define IS_TAIL(b) (((b) &0xC0) == 0x80)
	if (lead < 0x80)
		return 1;
	if (lead >= 0xC2 && lead <= 0xDF)
		return left >= 2 && IS_TAIL(p[1]) ? 2 : 0;
	if (lead >= 0xE0 && lead <= 0xEF)
	{
		if (left < 3 || !IS_TAIL(p[1]) || !IS_TAIL(p[2]))
			return 0;
		if ((lead == 0xE0 && p[1] < 0xA0) || (lead == 0xED && p[1] > 0x9F))
			return 0;
		return 3;
	}
	if (lead >= 0xF0 && lead <= 0xF4)
	{
		if (left < 4 || !IS_TAIL(p[1]) || !IS_TAIL(p[2]) || !IS_TAIL(p[3]))
			return 0;
		if ((lead == 0xF0 && p[1] < 0x90) || (lead == 0xF4 && p[1] > 0x8F))
			return 0;
		return 4;
	}
#undef IS_TAIL
	return 0;
}

static int
hex_value(unsigned char h)
{
	if (h >= '0' && h <= '9')
		return h - '0';
	if (h >= 'a' && h <= 'f')
		return h - 'a' + 10;
	if (h >= 'A' && h <= 'F')
		return h - 'A' + 10;
	return -1;
}

int
utf8_hex4(const unsigned char *p, const unsigned char *end)
{
	int value = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		int digit = hex_value(p[i]);

		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

size_t
utf8_encode(uint32 code, char *out)
{
	if (code < 0x80)
	{
		out[0] = (char) code;
		return 1;
	}
	if (code < 0x800)
	{
		out[0] = (char) (0xC0 | code >> 6);
		out[1] = (char) (0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000)
	{
		out[0] = (char) (0xE0 | code >> 12);
		out[1] = (char) (0x80 | (code >> 6 & 0x3F));
		out[2] = (char) (0x80 | (code & 0x3F));
		return 3;
	}
	out[0] = (char) (0xF0 | code >> 18);
	out[1] = (char) (0x80 | (code >> 12 & 0x3F));
	out[2] = (char) (0x80 | (code >> 6 & 0x3F));
	out[3] = (char) (0x80 | (code & 0x3F));
	return 4;
}
