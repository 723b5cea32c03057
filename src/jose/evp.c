/*
 * src/jose/evp.c
 *		Signatures and digests with OpenSSL's EVP interface.
 *
 * OpenSSL 3 looks an algorithm up by name each time it is asked for; digests are
 * therefore fetched once a backend, and a key keeps a context that is ready to verify.
 * Knows nothing of tokens or of JSON.
 */
#include "postgres.h"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "jose/der.h"
#include "jose/evp.h"

/* Two integers of 66 bytes and their headers. */
#define ECDSA_DER_BYTES 160

/* Kept until the backend ends; NULL until first used. */
static const EVP_MD *digests[3];
static EVP_MD_CTX *digest_ctx;

static const EVP_MD *
get_digest(JoseDigest digest)
{
	static const char *const names[] = {"SHA256", "SHA384", "SHA512"};

	if (digests[digest] == NULL)
	{
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
		digests[digest] = EVP_MD_fetch(NULL, names[digest], NULL);
#else
		digests[digest] = EVP_get_digestbyname(names[digest]);
#endif
	}
	return digests[digest];
}

static EVP_MD_CTX *
get_digest_ctx(void)
{
	if (digest_ctx == NULL)
		digest_ctx = EVP_MD_CTX_new();
	return digest_ctx;
}

bool
evp_digest(JoseDigest digest, const void *data, size_t len, unsigned char *out)
{
	const EVP_MD *md = get_digest(digest);
	EVP_MD_CTX *ctx = get_digest_ctx();
	bool made;

	made = md != NULL && ctx != NULL && EVP_DigestInit_ex(ctx, md, NULL) == 1 &&
		   EVP_DigestUpdate(ctx, data, len) == 1 && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	if (!made)
		ERR_clear_error();
	return made;
}

static bool
make_hmac(const JoseKey *key, const JoseAlgorithm *alg, const char *input, size_t input_len,
		  unsigned char *mac)
{
	const EVP_MD *md = get_digest(alg->digest);

	return md != NULL &&
		   HMAC(md, key->secret, key->size, (const unsigned char *) input, input_len, mac, NULL) !=
			   NULL;
}

/* Padding, hash and salt of the algorithm; used for signing and verifying alike. */
static bool
set_parameters(EVP_PKEY_CTX *ctx, const JoseAlgorithm *alg, const EVP_MD *md)
{
	if (alg->key_type != JOSE_KEY_RSA)
		return true;
	if (!alg->is_pss)
		return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
	/* the salt is exactly as long as the hash (RFC 7518 3.5) */
	return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
		   EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) == 1 &&
		   EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, alg->hash_bytes) == 1;
}

/*
 * The key's context for this algorithm, made at first use; NULL when OpenSSL fails. slot is in the
 * key: a key is const to its users, but the ready contexts are no part of its value.
 */
static EVP_PKEY_CTX *
get_ctx(EVP_PKEY_CTX **slot, const JoseKey *key, const JoseAlgorithm *alg,
		int (*init)(EVP_PKEY_CTX *ctx))
{
	const EVP_MD *md = get_digest(alg->digest);
	EVP_PKEY_CTX *ctx;

	if (*slot != NULL || md == NULL)
		return *slot;
	ctx = EVP_PKEY_CTX_new(key->pkey, NULL);
	if (ctx != NULL && init(ctx) == 1 && EVP_PKEY_CTX_set_signature_md(ctx, md) == 1 &&
		set_parameters(ctx, alg, md))
		*slot = ctx;
	else
		EVP_PKEY_CTX_free(ctx);
	return *slot;
}

static bool
verify_prehashed(const JoseKey *key, const JoseAlgorithm *alg, const char *input, size_t input_len,
				 const unsigned char *signature, size_t signature_len)
{
	EVP_PKEY_CTX *ctx = get_ctx(&unconstify(JoseKey *, key)->verify_ctx[alg - jose_algorithms],
								key,
								alg,
								EVP_PKEY_verify_init);
	unsigned char hash[JOSE_MAX_HASH_BYTES];
	unsigned char der[ECDSA_DER_BYTES];

	if (ctx == NULL || !evp_digest(alg->digest, input, input_len, hash))
		return false;
	if (alg->key_type == JOSE_KEY_EC)
	{
		/* r || s in full width (RFC 7518 3.4) to what OpenSSL wants */
		size_t width = (size_t) alg->field_bytes;
		DerWriter w;

		if (signature_len != 2 * width)
			return false;
		der_init(&w, der, sizeof(der));
		der_uint(&w, signature + width, width);
		der_uint(&w, signature, width);
		der_header(&w, DER_SEQUENCE, w.end);
		if (w.overflow)
			return false;
		signature = w.pos;
		signature_len = (size_t) (w.end - w.pos);
	}
	else if (signature_len != (size_t) key->size) /* RFC 8017 8.1.2, 8.2.2 */
		return false;
	return EVP_PKEY_verify(ctx, signature, signature_len, hash, (size_t) alg->hash_bytes) == 1;
}

static bool
verify_eddsa(const JoseKey *key, const char *input, size_t input_len,
			 const unsigned char *signature, size_t signature_len)
{
	EVP_MD_CTX *ctx;
	bool fits;

	if (signature_len != 64)
		return false;
	ctx = EVP_MD_CTX_new();
	fits = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key->pkey) == 1 &&
		   EVP_DigestVerify(
			   ctx, signature, signature_len, (const unsigned char *) input, input_len) == 1;
	EVP_MD_CTX_free(ctx);
	return fits;
}

bool
evp_verify(const JoseKey *key, const JoseAlgorithm *alg, const char *input, size_t input_len,
		   const unsigned char *signature, size_t signature_len)
{
	bool fits = false;

	switch (alg->key_type)
	{
		case JOSE_KEY_RSA:
		case JOSE_KEY_EC:
			fits = verify_prehashed(key, alg, input, input_len, signature, signature_len);
			break;
		case JOSE_KEY_OKP:
			fits = verify_eddsa(key, input, input_len, signature, signature_len);
			break;
		case JOSE_KEY_OCT:
		{
			unsigned char mac[JOSE_MAX_HASH_BYTES];

			fits = signature_len == (size_t) alg->hash_bytes &&
				   make_hmac(key, alg, input, input_len, mac) &&
				   CRYPTO_memcmp(mac, signature, signature_len) == 0;
			OPENSSL_cleanse(mac, sizeof(mac));
			break;
		}
	}
	if (!fits)
		ERR_clear_error();
	return fits;
}

/* DER of OpenSSL to r || s in full width. */
static bool
ecdsa_to_jws(const unsigned char *der, size_t der_len, size_t width, unsigned char *out)
{
	const unsigned char *p = der;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long) der_len);
	bool made;

	if (sig == NULL)
		return false;
	made = BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int) width) == (int) width &&
		   BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + width, (int) width) == (int) width;
	ECDSA_SIG_free(sig);
	return made;
}

static bool
sign_prehashed(const JoseKey *key, const JoseAlgorithm *alg, const char *input, size_t input_len,
			   unsigned char *signature, size_t *signature_len)
{
	EVP_PKEY_CTX *ctx = get_ctx(
		&unconstify(JoseKey *, key)->sign_ctx[alg - jose_algorithms], key, alg, EVP_PKEY_sign_init);
	unsigned char hash[JOSE_MAX_HASH_BYTES];
	unsigned char der[ECDSA_DER_BYTES];
	bool is_ec = alg->key_type == JOSE_KEY_EC;
	size_t len = is_ec ? sizeof(der) : JOSE_MAX_SIGNATURE_BYTES;

	if (ctx == NULL || !evp_digest(alg->digest, input, input_len, hash) ||
		EVP_PKEY_sign(ctx, is_ec ? der : signature, &len, hash, (size_t) alg->hash_bytes) != 1)
		return false;
	*signature_len = is_ec ? 2 * (size_t) alg->field_bytes : len;
	return !is_ec || ecdsa_to_jws(der, len, (size_t) alg->field_bytes, signature);
}

static bool
sign_eddsa(const JoseKey *key, const char *input, size_t input_len, unsigned char *signature,
		   size_t *signature_len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool made;

	*signature_len = 64;
	made = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key->pkey) == 1 &&
		   EVP_DigestSign(
			   ctx, signature, signature_len, (const unsigned char *) input, input_len) == 1;
	EVP_MD_CTX_free(ctx);
	return made;
}

bool
evp_sign(const JoseKey *key, const JoseAlgorithm *alg, const char *input, size_t input_len,
		 unsigned char *signature, size_t *signature_len)
{
	bool made = false;

	switch (alg->key_type)
	{
		case JOSE_KEY_RSA:
		case JOSE_KEY_EC:
			made = sign_prehashed(key, alg, input, input_len, signature, signature_len);
			break;
		case JOSE_KEY_OKP:
			made = sign_eddsa(key, input, input_len, signature, signature_len);
			break;
		case JOSE_KEY_OCT:
			*signature_len = (size_t) alg->hash_bytes;
			made = make_hmac(key, alg, input, input_len, signature);
			break;
	}
	if (!made)
		ERR_clear_error();
	return made;
}
