/*
 * test/c/libjwt_verify.c
 *		libjwt as a second, independent verifier: exit 0 when it accepts the token.
 *
 * Usage: libjwt_verify TOKEN_FILE KEY_FILE (a PEM public key, or the raw bytes of a secret).
 * Runs outside the server, where libjwt's JSON library does not meet PostgreSQL's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jwt.h>

static char *
slurp(const char *path, size_t *len)
{
	FILE	   *file = fopen(path, "rb");
	char	   *data = malloc(1 << 20);

	if (file == NULL || data == NULL)
		exit(2);
	*len = fread(data, 1, (1 << 20) - 1, file);
	data[*len] = '\0';
	fclose(file);
	return data;
}

int
main(int argc, char **argv)
{
	size_t		token_len;
	size_t		key_len;
	char	   *token;
	char	   *key;
	jwt_t	   *jwt = NULL;
	int			result;

	if (argc != 3)
		return 2;
	token = slurp(argv[1], &token_len);
	key = slurp(argv[2], &key_len);
	result = jwt_decode(&jwt, token, (unsigned char *) key, (int) key_len);
	if (result == 0)
	{
		/* a token without a signature is no proof of anything */
		if (jwt_get_alg(jwt) == JWT_ALG_NONE)
			result = 1;
		jwt_free(jwt);
	}
	free(token);
	free(key);
	return result == 0 ? 0 : 1;
}
