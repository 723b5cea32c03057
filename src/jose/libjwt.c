/*
 * src/jose/libjwt.c
 *		Signing with libjwt, where this server can use it.
 *
 * libjwt is not linked but opened at first use with RTLD_DEEPBIND: its JSON library,
 * jansson, has a function json_object(), and so has the postgres executable, whose
 * symbols come first in the ordinary order. A libjwt that is linked calls the server's
 * json_object() and crashes. Where there is no RTLD_DEEPBIND, no libjwt, or one that
 * something else has opened before, the caller signs with EVP instead.
 */
#include "postgres.h"

#include <dlfcn.h>
#include <jwt.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "utils/memutils.h"

#include "jose/libjwt.h"

/* PS* came with 1.12, EdDSA with 3.0; these all versions have. */
#define LIBJWT_ALGORITHMS                                                                          \
	(JOSE_RS256 | JOSE_RS384 | JOSE_RS512 | JOSE_ES256 | JOSE_ES384 | JOSE_ES512 | JOSE_HS256 |    \
	 JOSE_HS384 | JOSE_HS512)

/* The functions of libjwt that are used; all or none. */
typedef struct LibjwtApi
{
	int (*make)(jwt_t **jwt);
	void (*release)(jwt_t *jwt);
	int (*add_headers_json)(jwt_t *jwt, const char *json);
	int (*add_grants_json)(jwt_t *jwt, const char *json);
	int (*set_alg)(jwt_t *jwt, jwt_alg_t alg, const unsigned char *key, int len);
	char *(*encode_str)(jwt_t *jwt);
	jwt_alg_t (*str_alg)(const char *alg);
} LibjwtApi;

/* What libjwt and OpenSSL allocate for one signature. */
typedef struct LibjwtResources
{
	const LibjwtApi *api;
	jwt_t *jwt;
	char *token;
	BIO *pem;
	MemoryContextCallback callback;
} LibjwtResources;

#ifdef RTLD_DEEPBIND
static void *
open_libjwt(void)
{
	/* the series 1: 1.17, 1.12, 1.10; later ones have another interface */
	static const char *const names[] = {"libjwt.so.2", "libjwt.so.1", "libjwt.so.0"};
	void *handle = NULL;

	for (size_t i = 0; i < lengthof(names); i++)
	{
		/* one that is there already was not opened our way */
		handle = dlopen(names[i], RTLD_NOW | RTLD_NOLOAD);
		if (handle != NULL)
		{
			dlclose(handle);
			return NULL;
		}
	}
	for (size_t i = 0; i < lengthof(names) && handle == NULL; i++)
		handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
	return handle;
}

/* POSIX lets a function pointer go through void *, ISO C by this detour only. */
static bool
find_function(void *handle, const char *name, void *function)
{
	void *symbol = dlsym(handle, name);

	memcpy(function, &symbol, sizeof(symbol));
	return symbol != NULL;
}

/* Opened once a backend and kept; NULL when it cannot be used. */
static const LibjwtApi *
get_libjwt(void)
{
	static LibjwtApi api;
	static bool tried = false;
	static bool usable = false;

	if (!tried)
	{
		void *handle = open_libjwt();

		tried = true;
		usable = handle != NULL && find_function(handle, "jwt_new", &api.make) &&
				 find_function(handle, "jwt_free", &api.release) &&
				 find_function(handle, "jwt_add_headers_json", &api.add_headers_json) &&
				 find_function(handle, "jwt_add_grants_json", &api.add_grants_json) &&
				 find_function(handle, "jwt_set_alg", &api.set_alg) &&
				 find_function(handle, "jwt_encode_str", &api.encode_str) &&
				 find_function(handle, "jwt_str_alg", &api.str_alg);
	}
	return usable ? &api : NULL;
}
#else
static const LibjwtApi *
get_libjwt(void)
{
	return NULL;
}
#endif

static void
free_resources(void *arg)
{
	LibjwtResources *res = arg;

	if (res->jwt != NULL)
		res->api->release(res->jwt);
	free(res->token);
	BIO_free(res->pem); /* a BIO of secure memory clears it */
	res->jwt = NULL;
	res->token = NULL;
	res->pem = NULL;
}

/* The key as libjwt wants it: PEM, or the bytes of a secret. */
static bool
get_key_data(const JoseKey *key, LibjwtResources *res, unsigned char **data, int *len)
{
	char *pem = NULL;

	if (key->pkey == NULL)
	{
		*data = key->secret;
		*len = key->size;
		return true;
	}
	res->pem = BIO_new(BIO_s_secmem());
	if (res->pem == NULL ||
		PEM_write_bio_PrivateKey(res->pem, key->pkey, NULL, NULL, 0, NULL, NULL) != 1)
		return false;
	*len = (int) BIO_get_mem_data(res->pem, &pem);
	*data = (unsigned char *) pem;
	return true;
}

char *
libjwt_sign(const JoseKey *key, const JoseAlgorithm *alg, const char *header, const char *payload)
{
	LibjwtResources *res;
	const LibjwtApi *api;
	unsigned char *key_data;
	int key_len;
	char *token = NULL;

	if ((alg->bit & LIBJWT_ALGORITHMS) == 0 || (api = get_libjwt()) == NULL)
		return NULL;
	res = palloc0(sizeof(LibjwtResources));
	res->api = api;
	res->callback.func = free_resources;
	res->callback.arg = res;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &res->callback);

	if (get_key_data(key, res, &key_data, &key_len) && api->make(&res->jwt) == 0 &&
		api->add_headers_json(res->jwt, header) == 0 &&
		api->add_grants_json(res->jwt, payload) == 0 &&
		api->set_alg(res->jwt, api->str_alg(alg->name), key_data, key_len) == 0)
	{
		res->token = api->encode_str(res->jwt);
		if (res->token != NULL)
			token = pstrdup(res->token);
	}
	free_resources(res);
	ERR_clear_error();
	return token;
}
