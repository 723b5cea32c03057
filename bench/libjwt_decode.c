/*
 * bench/libjwt_decode.c TOKEN_FILE PEM_FILE N
 *		Prints microseconds a jwt_decode() of libjwt, which parses the PEM each time.
 */
#include <jwt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char *
slurp(const char *path)
{
	static char buffers[2][65536];
	static int n = 0;
	FILE *file = fopen(path, "r");
	size_t len;

	if (file == NULL)
		exit(1);
	len = fread(buffers[n], 1, sizeof(buffers[n]) - 1, file);
	buffers[n][len] = '\0';
	fclose(file);
	return buffers[n++];
}

int
main(int argc, char **argv)
{
	char *token = slurp(argv[1]);
	char *pem = slurp(argv[2]);
	int n = atoi(argv[3]);
	struct timespec from;
	struct timespec to;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	for (int i = 0; i < n; i++)
	{
		jwt_t *jwt;

		if (jwt_decode(&jwt, token, (unsigned char *) pem, strlen(pem)) != 0)
			return 1;
		jwt_free(jwt);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	printf("%f\n", ((to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec)) / 1e3 / n);
	return 0;
}
