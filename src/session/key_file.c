/*
 * src/session/key_file.c
 *		The key of the server, read from its file. Knows nothing of what it is for.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "storage/fd.h"
#include "utils/guc.h"

#include "compat.h"
#include "jose/evp.h"
#include "session/key_file.h"

#define KEY_FILE_MIN_BYTES 32
#define KEY_FILE_MAX_BYTES 4096

/*
 * smart_fhir.key_file: a file that the server can read, outside its data directory, with 32 random
 * bytes or more in it. A relative path is relative to the data directory.
 */
static char *guc_key_file = NULL;
static uint64 generation = 0;

static void
assign_key_file(const char *newval, void *extra)
{
	generation++;
}

uint64
key_file_generation(void)
{
	return generation;
}

void
key_file_init(void)
{
	DefineCustomStringVariable(
		"smart_fhir.key_file",
		"File whose content seals signing keys, hides identities in audit records and signs them.",
		"Empty: signing keys are stored in clear; audit records have neither hashed identities nor "
		"a mac.",
		&guc_key_file,
		"",
		PGC_SIGHUP,
		GUC_SUPERUSER_ONLY,
		NULL,
		assign_key_file,
		NULL);
}

bool
key_file_read(unsigned char *key)
{
	unsigned char content[KEY_FILE_MAX_BYTES];
	unsigned char digest[JOSE_MAX_HASH_BYTES];
	struct stat st;
	ssize_t len = -1;
	int fd;

	if (guc_key_file == NULL || *guc_key_file == '\0')
		return false;
	fd = OpenTransientFile(guc_key_file, O_RDONLY | PG_BINARY);
	if (fd >= 0)
	{
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
			len = read(fd, content, sizeof(content));
		CloseTransientFile(fd);
	}
	while (len > 0 && (content[len - 1] == '\n' || content[len - 1] == '\r'))
		len--;
	if (len < KEY_FILE_MIN_BYTES || (size_t) len == sizeof(content))
	{
		OPENSSL_cleanse(content, sizeof(content));
		ereport(
			ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("smart_fhir.key_file cannot be used"),
			errdetail("The server must be able to read it, and it holds 32 to 4095 bytes."),
			errhint("openssl rand -base64 48 makes one; mode 0600, owned by the server's user."));
	}
	if (st.st_mode & (S_IROTH | S_IWOTH | S_IWGRP))
	{
		OPENSSL_cleanse(content, sizeof(content));
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("smart_fhir.key_file cannot be used"),
				errdetail("Others than the server's user may read or write it."),
				errhint("chmod 0600, or 0640 with a group of its own."));
	}
	if (!evp_digest(JOSE_SHA256, content, (size_t) len, digest))
		ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a hash"));
	memcpy(key, digest, KEY_FILE_KEY_BYTES);
	OPENSSL_cleanse(content, sizeof(content));
	OPENSSL_cleanse(digest, sizeof(digest));
	return true;
}
