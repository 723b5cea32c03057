/*
 * src/jose/material.c
 *		The numbers of a JSON Web Key (RFC 7518 6, RFC 8037 2), checked, as OpenSSL keys.
 *
 * A key is refused when its material is weak, malformed or not minimal. It goes to
 * OpenSSL as DER that is written here, so OpenSSL's parsers never see a structure that an
 * outsider made. Knows nothing of what the key is for.
 */
#include "postgres.h"

#include <openssl/crypto.h>
#include <openssl/x509.h>

#include "jose/b64.h"
#include "jose/der.h"
#include "jose/material.h"
#include "jose/member.h"

/* PKCS #1 with all members of an 8192 bit key is under 5 KiB. */
#define DER_BUFFER_BYTES 6144

#define JOSE_ALL_RSA (JOSE_RS256 | JOSE_RS384 | JOSE_RS512 | JOSE_PS256 | JOSE_PS384 | JOSE_PS512)

typedef struct JoseCurve
{
	const char *name;
	int field_bytes;
	uint32 algorithm;
	unsigned char oid_len;
	unsigned char oid[12]; /* with tag and length */
} JoseCurve;

static const JoseCurve curves[] = {
	{"P-256", 32, JOSE_ES256, 10, {0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07}},
	{"P-384", 48, JOSE_ES384, 7, {0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22}},
	{"P-521", 66, JOSE_ES512, 7, {0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x23}},
};

static const unsigned char oid_ec_public_key[] = {
	0x06,
	0x07,
	0x2A,
	0x86,
	0x48,
	0xCE,
	0x3D,
	0x02,
	0x01,
};

/* SEQUENCE { rsaEncryption, NULL } */
static const unsigned char rsa_algorithm_id[] = {
	0x30,
	0x0D,
	0x06,
	0x09,
	0x2A,
	0x86,
	0x48,
	0x86,
	0xF7,
	0x0D,
	0x01,
	0x01,
	0x01,
	0x05,
	0x00,
};

/*
 * Ed25519 public keys of small order (the sign bit masked): some fixed signature fits
 * every text under such a key.
 */
static const unsigned char small_order[][32] = {
	{0},
	{1},
	{0x26, 0xE8, 0x95, 0x8F, 0xC2, 0xB2, 0x27, 0xB0, 0x45, 0xC3, 0xF4,
	 0x89, 0xF2, 0xEF, 0x98, 0xF0, 0xD5, 0xDF, 0xAC, 0x05, 0xD3, 0xC6,
	 0x33, 0x39, 0xB1, 0x38, 0x02, 0x88, 0x6D, 0x53, 0xFC, 0x05},
	{0xC7, 0x17, 0x6A, 0x70, 0x3D, 0x4D, 0xD8, 0x4F, 0xBA, 0x3C, 0x0B,
	 0x76, 0x0D, 0x10, 0x67, 0x0F, 0x2A, 0x20, 0x53, 0xFA, 0x2C, 0x39,
	 0xCC, 0xC6, 0x4E, 0xC7, 0xFD, 0x77, 0x92, 0xAC, 0x03, 0x7A},
	{0xEC, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
	 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
	 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F},
	{0xED, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
	 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
	 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F},
	{0xEE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
	 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
	 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F},
};

/* Decoded bytes of one member. */
typedef struct Octets
{
	unsigned char *data;
	size_t len;
} Octets;

/* The bytes of a base64url member, at least one and at most max_len of them. */
static bool
read_octets(JsonbContainer *jwk, const char *name, size_t max_len, Octets *out)
{
	JsonbValue value;
	size_t text_len;

	if (!member_text(jwk, name, &value))
		return false;
	text_len = (size_t) value.val.string.len;
	if (text_len > B64URL_ENCODED_LEN(max_len))
		return false;
	out->data = palloc(B64URL_DECODED_MAX(text_len));
	return b64url_decode(value.val.string.val, text_len, out->data, &out->len) && out->len > 0;
}

static EVP_PKEY *
parse_public(const DerWriter *w)
{
	const unsigned char *p = w->pos;

	return w->overflow ? NULL : d2i_PUBKEY(NULL, &p, (long) (w->end - w->pos));
}

static EVP_PKEY *
parse_private(int type, DerWriter *w)
{
	const unsigned char *p = w->pos;
	EVP_PKEY *pkey = NULL;

	if (!w->overflow)
		pkey = d2i_PrivateKey(type, NULL, &p, (long) (w->end - w->pos));
	OPENSSL_cleanse(w->start, (size_t) (w->end - w->start));
	return pkey;
}

/* RSAPrivateKey of RFC 8017 A.1.2. The factors are wanted: without them signing is slow. */
static const char *
read_rsa_private(JsonbContainer *jwk, const Octets *n, const Octets *e, JoseKey *key)
{
	static const char *const names[] = {"qi", "dq", "dp", "q", "p", "d"};
	unsigned char der[DER_BUFFER_BYTES];
	DerWriter w;

	der_init(&w, der, sizeof(der));
	for (size_t i = 0; i < lengthof(names); i++)
	{
		Octets member;

		if (!read_octets(jwk, names[i], JOSE_RSA_MAX_BITS / 8, &member))
		{
			OPENSSL_cleanse(der, sizeof(der));
			return "An RSA key that signs needs d, p, q, dp, dq and qi.";
		}
		der_uint(&w, member.data, member.len);
		OPENSSL_cleanse(member.data, member.len);
	}
	der_uint(&w, e->data, e->len);
	der_uint(&w, n->data, n->len);
	der_uint(&w, NULL, 0);
	der_header(&w, DER_SEQUENCE, w.end);
	key->pkey = parse_private(EVP_PKEY_RSA, &w);
	return NULL;
}

const char *
material_read_rsa(JsonbContainer *jwk, bool with_private, JoseKey *key)
{
	unsigned char der[DER_BUFFER_BYTES];
	DerWriter w;
	Octets n, e;
	int bits;
	const char *error;

	if (!read_octets(jwk, "n", JOSE_RSA_MAX_BITS / 8 + 1, &n) ||
		!read_octets(jwk, "e", JOSE_RSA_MAX_EXPONENT_BYTES, &e))
		return "The modulus or the exponent of the RSA key is missing or malformed.";
	/* Base64urlUInt is minimal (RFC 7518 2); else one key has many thumbprints */
	if (n.data[0] == 0 || e.data[0] == 0)
		return "The modulus or the exponent of the RSA key has a leading zero byte.";
	bits = (int) n.len * 8;
	for (unsigned char top = n.data[0]; (top & 0x80) == 0; top = (unsigned char) (top << 1))
		bits--;
	if (bits < JOSE_RSA_MIN_BITS || bits > JOSE_RSA_MAX_BITS)
		return "The RSA key has fewer than 2048 or more than 8192 bits.";
	if ((n.data[n.len - 1] & 1) == 0 || (e.data[e.len - 1] & 1) == 0 ||
		(e.len == 1 && e.data[0] < 3))
		return "The modulus or the exponent of the RSA key is out of range.";

	key->type = JOSE_KEY_RSA;
	key->size = (int) n.len;
	key->suits = JOSE_ALL_RSA;
	if (with_private)
	{
		error = read_rsa_private(jwk, &n, &e, key);
		if (error != NULL)
			return error;
	}
	else
	{
		const unsigned char *content;

		der_init(&w, der, sizeof(der));
		der_uint(&w, e.data, e.len);
		der_uint(&w, n.data, n.len);
		der_header(&w, DER_SEQUENCE, w.end);
		der_byte(&w, 0);
		der_header(&w, DER_BIT_STRING, w.end);
		content = w.end;
		der_bytes(&w, rsa_algorithm_id, sizeof(rsa_algorithm_id));
		der_header(&w, DER_SEQUENCE, content);
		key->pkey = parse_public(&w);
	}
	return key->pkey == NULL ? "OpenSSL does not take the RSA key." : NULL;
}

/* BIT STRING with the uncompressed point. */
static void
der_point(DerWriter *w, const Octets *x, const Octets *y)
{
	const unsigned char *mark = w->pos;

	der_bytes(w, y->data, y->len);
	der_bytes(w, x->data, x->len);
	der_byte(w, 0x04);
	der_byte(w, 0);
	der_header(w, DER_BIT_STRING, mark);
}

const char *
material_read_ec(JsonbContainer *jwk, bool with_private, JoseKey *key)
{
	const JoseCurve *curve = NULL;
	unsigned char der[DER_BUFFER_BYTES];
	DerWriter w;
	JsonbValue crv;
	Octets x, y;
	size_t width;

	if (!member_text(jwk, "crv", &crv))
		return "The EC key has no curve.";
	for (size_t i = 0; i < lengthof(curves); i++)
	{
		if (member_text_is(&crv, curves[i].name))
			curve = &curves[i];
	}
	if (curve == NULL)
		return "The curve of the EC key is none of P-256, P-384 and P-521.";
	width = (size_t) curve->field_bytes;
	/* full width, leading zeros kept (RFC 7518 6.2.1.2) */
	if (!read_octets(jwk, "x", width, &x) || !read_octets(jwk, "y", width, &y) || x.len != width ||
		y.len != width)
		return "The coordinates of the EC key are missing or not as wide as the curve.";

	key->type = JOSE_KEY_EC;
	key->size = curve->field_bytes;
	key->suits = curve->algorithm;
	der_init(&w, der, sizeof(der));
	/* OpenSSL refuses a point that is not on the curve in both forms */
	if (with_private)
	{
		const unsigned char *mark;
		Octets d;

		if (!read_octets(jwk, "d", width, &d) || d.len != width)
			return "An EC key that signs needs d, as wide as the curve.";
		der_point(&w, &x, &y);
		der_header(&w, DER_CONTEXT(1), w.end);
		mark = w.pos;
		der_bytes(&w, curve->oid, curve->oid_len);
		der_header(&w, DER_CONTEXT(0), mark);
		mark = w.pos;
		der_bytes(&w, d.data, d.len);
		OPENSSL_cleanse(d.data, d.len);
		der_header(&w, DER_OCTET_STRING, mark);
		mark = w.pos;
		der_byte(&w, 1);
		der_header(&w, DER_INTEGER, mark);
		der_header(&w, DER_SEQUENCE, w.end);
		key->pkey = parse_private(EVP_PKEY_EC, &w);
	}
	else
	{
		const unsigned char *mark;

		der_point(&w, &x, &y);
		mark = w.pos;
		der_bytes(&w, curve->oid, curve->oid_len);
		der_bytes(&w, oid_ec_public_key, sizeof(oid_ec_public_key));
		der_header(&w, DER_SEQUENCE, mark);
		der_header(&w, DER_SEQUENCE, w.end);
		key->pkey = parse_public(&w);
	}
	return key->pkey == NULL ? "The point of the EC key is not on its curve." : NULL;
}

const char *
material_read_okp(JsonbContainer *jwk, bool with_private, JoseKey *key)
{
	JsonbValue crv;
	Octets x;
	unsigned char masked[32];

	if (!member_text(jwk, "crv", &crv) || !member_text_is(&crv, "Ed25519"))
		return "The curve of the OKP key is not Ed25519.";
	if (!read_octets(jwk, "x", 32, &x) || x.len != 32)
		return "The OKP key has no x of 32 bytes.";
	memcpy(masked, x.data, 32);
	masked[31] &= 0x7F;
	for (size_t i = 0; i < lengthof(small_order); i++)
	{
		if (memcmp(masked, small_order[i], 32) == 0)
			return "The OKP key is a point of small order.";
	}

	key->type = JOSE_KEY_OKP;
	key->size = 32;
	key->suits = JOSE_EDDSA;
	if (with_private)
	{
		Octets d;

		if (!read_octets(jwk, "d", 32, &d) || d.len != 32)
			return "An OKP key that signs needs d of 32 bytes.";
		key->pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, d.data, d.len);
		OPENSSL_cleanse(d.data, d.len);
	}
	else
		key->pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x.data, x.len);
	return key->pkey == NULL ? "OpenSSL does not take the OKP key." : NULL;
}

const char *
material_read_oct(JsonbContainer *jwk, JoseKey *key)
{
	Octets k;

	if (!read_octets(jwk, "k", JOSE_MAX_JWKS_BYTES, &k))
		return "The secret of the oct key is missing, empty or malformed.";
	key->type = JOSE_KEY_OCT;
	key->secret = k.data;
	key->size = (int) k.len;
	/* at least as long as the hash (RFC 7518 3.2) */
	for (int i = 0; i < JOSE_N_ALGORITHMS; i++)
	{
		if (jose_algorithms[i].key_type == JOSE_KEY_OCT &&
			jose_algorithms[i].hash_bytes <= key->size)
			key->suits |= jose_algorithms[i].bit;
	}
	return NULL;
}
