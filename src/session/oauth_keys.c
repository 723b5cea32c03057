/*
 * src/session/oauth_keys.c
 *		The file of smart_fhir.oauth_keys, which smart_fhir_keys --keys-file writes: issuers and their public keys, for where
 *		PostgreSQL asks whether an OAuth token is good, before it has opened a database.
 *
 * doc/keys.md describes the file. Nothing here may need a catalog. An entry that is not as it should be counts for
 * nothing. Knows nothing of tokens.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "session/oauth_keys.h"

#define FORMAT 1
#define MAX_DEPTH 32
#define MAX_SECONDS (INT64CONST(100) * 366 * SECS_PER_DAY)

static char *guc_oauth_keys = NULL;

void
oauth_keys_init(void)
{
	DefineCustomStringVariable("smart_fhir.oauth_keys",
							   "File with the issuers' keys for the OAuth validator, written by "
							   "smart_fhir_keys --keys-file.",
							   "Empty: no token is accepted for connecting.",
							   &guc_oauth_keys,
							   "",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY,
							   NULL,
							   NULL,
							   NULL);
}

/* The whole file with a NUL behind it; NULL and *problem. */
static char *
read_file(size_t *len, const char **problem)
{
	struct stat st;
	char *content = NULL;
	size_t size = 0;
	int fd;

	*problem = "smart_fhir.oauth_keys is not set";
	if (guc_oauth_keys == NULL || *guc_oauth_keys == '\0')
		return NULL;
	*problem = "the file of smart_fhir.oauth_keys cannot be read";
	fd = OpenTransientFile(guc_oauth_keys, O_RDONLY | O_NONBLOCK | PG_BINARY);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0)
	{
		if (!S_ISREG(st.st_mode))
			*problem = "smart_fhir.oauth_keys is no regular file";
		/* whoever can write it decides who connects */
		else if (st.st_mode & (S_IWGRP | S_IWOTH))
			*problem = "others than its owner may write the file of smart_fhir.oauth_keys";
		else if (st.st_size > OAUTH_KEYS_MAX_BYTES)
			*problem = "the file of smart_fhir.oauth_keys is larger than 16 MiB";
		else
		{
			content = palloc((size_t) st.st_size + 1);
			while (size < (size_t) st.st_size)
			{
				ssize_t n = read(fd, content + size, (size_t) st.st_size - size);

				if (n <= 0)
					break;
				size += (size_t) n;
			}
			if (size < (size_t) st.st_size)
			{
				pfree(content);
				content = NULL;
			}
		}
	}
	CloseTransientFile(fd);
	if (content != NULL)
		content[size] = '\0';
	*len = size;
	return content;
}

static bool
member(Jsonb *object, const char *name, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(&object->root, name, (int) strlen(name), value) != NULL &&
		   value->type != jbvNull;
}

/* A whole number; false: absent or something else. */
static bool
get_number(Jsonb *object, const char *name, int64 *number)
{
	JsonbValue value;

	if (!member(object, name, &value) || value.type != jbvNumeric ||
		numeric_is_nan(value.val.numeric) || numeric_is_inf(value.val.numeric))
		return false;
	/* a number without a point, of few enough digits */
	{
		char *text =
			DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));
		char *end;

		if (strlen(text) > 15)
			return false;
		*number = strtoll(text, &end, 10);
		return *end == '\0';
	}
}

bool
oauth_keys_read(Jsonb **file, const char **problem)
{
	size_t len;
	char *text = read_file(&len, problem);
	int64 format;

	if (text == NULL)
		return false;
	*problem = "the file of smart_fhir.oauth_keys is not what smart_fhir_keys writes";
	if (!json_text_is_valid(text, len, MAX_DEPTH, true))
		return false;
	*file = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	pfree(text);
	return JB_ROOT_IS_OBJECT(*file) && get_number(*file, "format", &format) && format == FORMAT;
}

/* ---- an entry ---- */

/* What is being read, and whether all of it was as it should be. */
typedef struct Entry
{
	Jsonb *json;
	bool good;
} Entry;

static char *
get_text(Entry *entry, const char *name)
{
	JsonbValue value;

	if (!member(entry->json, name, &value))
		return NULL;
	if (value.type != jbvString)
	{
		entry->good = false;
		return NULL;
	}
	return pnstrdup(value.val.string.val, value.val.string.len);
}

static IssuerTexts
get_texts(Entry *entry, const char *name)
{
	IssuerTexts texts = {true, 0, NULL};
	JsonbValue value;
	JsonbContainer *array;
	uint32 n;

	if (!member(entry->json, name, &value))
		return texts;
	texts.null = false;
	if (value.type != jbvBinary || !JsonContainerIsArray(value.val.binary.data))
	{
		entry->good = false;
		return texts;
	}
	array = value.val.binary.data;
	n = JsonContainerSize(array);
	texts.values = palloc0(sizeof(char *) * Max(n, 1));
	for (uint32 i = 0; i < n; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(array, i);

		if (element->type != jbvString)
			entry->good = false;
		else
			texts.values[texts.n++] = pnstrdup(element->val.string.val, element->val.string.len);
	}
	return texts;
}

static Jsonb *
get_object(Entry *entry, const char *name)
{
	JsonbValue value;

	if (!member(entry->json, name, &value))
		return NULL;
	if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
	{
		entry->good = false;
		return NULL;
	}
	return JsonbValueToJsonb(&value);
}

/* Seconds as microseconds. */
static int64
get_seconds(Entry *entry, const char *name, int64 if_absent)
{
	JsonbValue value;
	int64 seconds = if_absent;

	if (member(entry->json, name, &value) &&
		(!get_number(entry->json, name, &seconds) || seconds < 0 || seconds > MAX_SECONDS))
		entry->good = false;
	return seconds * USECS_PER_SEC;
}

/* RFC 3339, UTC, whole seconds: 2026-01-03T04:04:05Z. */
static TimestampTz
get_time(Entry *entry, const char *name)
{
	char *text = get_text(entry, name);
	struct pg_tm tm = {0};
	TimestampTz time;
	int utc = 0;
	int used = 0;

	if (text == NULL || strlen(text) != 20 ||
		sscanf(text,
			   "%4d-%2d-%2dT%2d:%2d:%2dZ%n",
			   &tm.tm_year,
			   &tm.tm_mon,
			   &tm.tm_mday,
			   &tm.tm_hour,
			   &tm.tm_min,
			   &tm.tm_sec,
			   &used) != 6 ||
		used != 20 || tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
		tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59 ||
		tm2timestamp(&tm, 0, &utc, &time) != 0)
	{
		entry->good = false;
		return DT_NOBEGIN;
	}
	return time;
}

static Issuer *
read_issuer(Jsonb *json)
{
	Entry entry = {json, true};
	Issuer *issuer = palloc0(sizeof(Issuer));
	IssuerTexts algorithms;
	IssuerTexts levels;
	Jsonb *jwks;

	issuer->issuer = get_text(&entry, "issuer");
	issuer->preset = get_text(&entry, "preset");
	issuer->audience = get_texts(&entry, "audience");
	issuer->token_types = get_texts(&entry, "token_types");
	issuer->required_claims = get_texts(&entry, "required_claims");
	issuer->client_ids = get_texts(&entry, "client_ids");
	issuer->base_urls = get_texts(&entry, "base_urls");
	issuer->staff_types.null = true;
	issuer->claim_map = get_object(&entry, "claim_map");
	issuer->leeway_usecs = get_seconds(&entry, "leeway", ISSUER_DEFAULT_LEEWAY_SECS);
	issuer->max_age_usecs = get_seconds(&entry, "max_token_age", ISSUER_DEFAULT_MAX_AGE_SECS);
	issuer->max_patients = 1;
	issuer->fetched = true;
	issuer->refuse_after = get_time(&entry, "refuse_after");
	algorithms = get_texts(&entry, "algorithms");
	levels = get_texts(&entry, "levels");
	jwks = get_object(&entry, "jwks");
	if (!entry.good || jwks == NULL)
		return NULL;
	issuer_complete(issuer, algorithms, levels, jwks);
	/* a secret in a file that smart_fhir_keys wrote is none of ours */
	issuer->algorithms &= JOSE_ASYMMETRIC;
	return issuer->keys == NULL ? NULL : issuer;
}

static bool
text_is(Jsonb *json, const char *name, const char *wanted)
{
	JsonbValue value;

	return member(json, name, &value) && value.type == jbvString &&
		   value.val.string.len == (int) strlen(wanted) &&
		   memcmp(value.val.string.val, wanted, strlen(wanted)) == 0;
}

Issuer *
oauth_keys_find(Jsonb *file, const char *database, const char *name)
{
	JsonbValue issuers;
	JsonbContainer *array;
	Issuer *found = NULL;

	if (!member(file, "issuers", &issuers) || issuers.type != jbvBinary ||
		!JsonContainerIsArray(issuers.val.binary.data))
		return NULL;
	array = issuers.val.binary.data;
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(array, i);
		Jsonb *json;

		if (element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data))
			continue;
		json = JsonbValueToJsonb(element);
		if (!text_is(json, "database", database) || !text_is(json, "issuer", name))
			continue;
		/* there twice: which one counts is not for us to choose */
		if (found != NULL)
			return NULL;
		found = read_issuer(json);
		if (found == NULL)
			return NULL;
	}
	return found;
}
