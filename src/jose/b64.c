/*
 * src/jose/b64.c
 *		Strict base64url (RFC 4648 5, RFC 7515 2) and the split of a compact JWS.
 *
 * One byte string has one spelling here. A decoder that skips white space, takes
 * padding or ignores the unused bits of the last character gives one token many
 * spellings, and a list of revoked or used tokens could be walked round.
 */
#include "postgres.h"

#include "jose/b64.h"

static const signed char b64url_value[256] = {
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 62, -1, -1,
	52, 53, 54, 55, 56, 57, 58, 59, 60, 61, -1, -1, -1, -1, -1, -1, -1, 0,	1,	2,	3,	4,	5,	6,
	7,	8,	9,	10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, -1, -1, -1, -1, 63,
	-1, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48,
	49, 50, 51, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
};

static const char b64url_alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

bool
b64url_decode(const char *in, size_t len, unsigned char *out, size_t *out_len)
{
	const unsigned char *p = (const unsigned char *) in;
	const unsigned char *end = p + len;
	unsigned char *q = out;
	int a, b, c;

	if (len % 4 == 1)
		return false;
	for (; end - p >= 4; p += 4, q += 3)
	{
		uint32 group;

		a = b64url_value[p[0]];
		b = b64url_value[p[1]];
		c = b64url_value[p[2]];
		group = (uint32) a << 18 | (uint32) b << 12 | (uint32) c << 6 | (uint32) b64url_value[p[3]];
		/* a value of -1 leaves the upper bits set */
		if (group >> 24 != 0)
			return false;
		q[0] = (unsigned char) (group >> 16);
		q[1] = (unsigned char) (group >> 8);
		q[2] = (unsigned char) group;
	}
	if (end - p >= 2)
	{
		a = b64url_value[p[0]];
		b = b64url_value[p[1]];
		c = end - p == 3 ? b64url_value[p[2]] : 0;
		if ((a | b | c) < 0)
			return false;
		*q++ = (unsigned char) (a << 2 | b >> 4);
		if (end - p == 3)
		{
			*q++ = (unsigned char) ((b & 15) << 4 | c >> 2);
			if ((c & 3) != 0)
				return false;
		}
		else if ((b & 15) != 0)
			return false;
	}
	*out_len = (size_t) (q - out);
	return true;
}

size_t
b64url_encode(const unsigned char *in, size_t len, char *out)
{
	const unsigned char *end = in + len;
	char *q = out;

	for (; end - in >= 3; in += 3)
	{
		*q++ = b64url_alphabet[in[0] >> 2];
		*q++ = b64url_alphabet[(in[0] & 3) << 4 | in[1] >> 4];
		*q++ = b64url_alphabet[(in[1] & 15) << 2 | in[2] >> 6];
		*q++ = b64url_alphabet[in[2] & 63];
	}
	if (end - in == 1)
	{
		*q++ = b64url_alphabet[in[0] >> 2];
		*q++ = b64url_alphabet[(in[0] & 3) << 4];
	}
	else if (end - in == 2)
	{
		*q++ = b64url_alphabet[in[0] >> 2];
		*q++ = b64url_alphabet[(in[0] & 3) << 4 | in[1] >> 4];
		*q++ = b64url_alphabet[(in[1] & 15) << 2];
	}
	return (size_t) (q - out);
}

bool
jws_split(const char *token, size_t len, JwsParts *out)
{
	const char *end = token + len;
	const char *dot1 = memchr(token, '.', len);
	const char *dot2;

	if (dot1 == NULL)
		return false;
	dot2 = memchr(dot1 + 1, '.', (size_t) (end - dot1 - 1));
	if (dot2 == NULL || memchr(dot2 + 1, '.', (size_t) (end - dot2 - 1)) != NULL)
		return false;
	out->header = token;
	out->header_len = (size_t) (dot1 - token);
	out->payload = dot1 + 1;
	out->payload_len = (size_t) (dot2 - dot1 - 1);
	out->signature = dot2 + 1;
	out->signature_len = (size_t) (end - dot2 - 1);
	return out->header_len > 0 && out->signature_len > 0;
}
