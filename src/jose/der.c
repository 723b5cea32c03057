/*
 * src/jose/der.c
 *		A small DER writer for keys and ECDSA signatures. Pure.
 */
#include "postgres.h"

#include "jose/der.h"

void
der_init(DerWriter *w, unsigned char *buf, size_t size)
{
	w->start = buf;
	w->pos = w->end = buf + size;
	w->overflow = false;
}

void
der_bytes(DerWriter *w, const unsigned char *data, size_t len)
{
	if ((size_t) (w->pos - w->start) < len)
	{
		w->overflow = true;
		return;
	}
	w->pos -= len;
	if (len > 0) /* data may be NULL then, which memcpy() forbids */
		memcpy(w->pos, data, len);
}

void
der_byte(DerWriter *w, unsigned char byte)
{
	der_bytes(w, &byte, 1);
}

void
der_header(DerWriter *w, unsigned char tag, const unsigned char *mark)
{
	size_t len = (size_t) (mark - w->pos);

	if (len < 0x80)
		der_byte(w, (unsigned char) len);
	else if (len < 0x100)
	{
		der_byte(w, (unsigned char) len);
		der_byte(w, 0x81);
	}
	else if (len < 0x10000)
	{
		der_byte(w, (unsigned char) (len & 0xFF));
		der_byte(w, (unsigned char) (len >> 8));
		der_byte(w, 0x82);
	}
	else
		w->overflow = true;
	der_byte(w, tag);
}

void
der_uint(DerWriter *w, const unsigned char *data, size_t len)
{
	const unsigned char *mark = w->pos;

	while (len > 0 && *data == 0)
	{
		data++;
		len--;
	}
	der_bytes(w, data, len);
	/* a first bit that is set would mean a negative number */
	if (len == 0 || (*data & 0x80) != 0)
		der_byte(w, 0);
	der_header(w, DER_INTEGER, mark);
}
