/*
 * programs/smart_fhir_keys/options.c
 *		The command line. Everybody on the machine can read it: no secret may be on it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <libpq-fe.h>

#include "log.h"
#include "options.h"

#define EXIT_USAGE 2

static const char help[] =
	"smart_fhir_keys fetches the keys of token issuers and clients for databases with smart_fhir.\n"
	"\n"
	"Usage:\n"
	"  smart_fhir_keys [OPTION]...\n"
	"\n"
	"Options:\n"
	"  --connection CONNINFO   a database to serve (libpq connection string); may be repeated;\n"
	"                          default: what PGHOST, PGDATABASE, PGUSER, PGSERVICE... say\n"
	"  --once                  fetch everything now and exit, 1 when an issuer failed\n"
	"  --interval SECONDS      keys are fetched again after it (3600)\n"
	"  --stale SECONDS         tokens are refused when keys are so much older (86400)\n"
	"  --timeout SECONDS       of one request (5)\n"
	"  --proxy URL             reach issuers through it\n"
	"  --ca-file FILE          trust these certificate authorities instead of the system's\n"
	"                          (default: SSL_CERT_FILE, where that is set)\n"
	"  --allow-loopback-http   fetch from http://localhost, 127.0.0.1 and [::1] too\n"
	"  --keys-file FILE        write the keys for smart_fhir.oauth_keys\n"
	"  --version, --help\n"
	"\n"
	"It takes no password: use a service file, a password file or PGPASSWORD.\n"
	"Runs until SIGTERM. Exit codes: 0, 1 failed, 2 usage.\n";

static bool
read_seconds(const char *name, const char *text, long least, long most, long *seconds)
{
	char *end;

	errno = 0;
	*seconds = strtol(text, &end, 10);
	if (errno == 0 && end != text && *end == '\0' && *seconds >= least && *seconds <= most)
		return true;
	log_event(NULL, "--%s takes %ld to %ld seconds", name, least, most);
	return false;
}

static bool
read_conninfo(const char *text)
{
	char *error = NULL;
	PQconninfoOption *parts = PQconninfoParse(text, &error);
	bool has_secret = false;

	/* its message quotes the string */
	PQfreemem(error);
	if (parts == NULL)
	{
		log_event(NULL, "--connection is no connection string");
		return false;
	}
	for (PQconninfoOption *part = parts; part->keyword != NULL; part++)
		if (part->val != NULL && part->val[0] != '\0' && strchr(part->dispchar, '*') != NULL)
			has_secret = true;
	PQconninfoFree(parts);
	if (has_secret)
		log_event(NULL,
				  "a password on the command line can be read by everybody on this machine: "
				  "use a service file, a password file or PGPASSWORD");
	return !has_secret;
}

static bool
read_proxy(const char *text)
{
	CURLU *url = curl_url();
	char *part = NULL;
	bool good = url != NULL && curl_url_set(url,
											CURLUPART_URL,
											text,
											CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME |
												CURLU_DISALLOW_USER) == CURLUE_OK;

	if (good && curl_url_get(url, CURLUPART_SCHEME, &part, 0) == CURLUE_OK)
		good = strcmp(part, "http") == 0 || strcmp(part, "https") == 0 ||
			   strncmp(part, "socks", 5) == 0;
	curl_free(part);
	curl_url_cleanup(url);
	if (!good)
		log_event(NULL, "--proxy takes a URL without user and password");
	return good;
}

int
options_read(Options *options, int argc, char **argv)
{
	static const struct option names[] = {
		{"connection", required_argument, NULL, 'c'},
		{"once", no_argument, NULL, 'o'},
		{"interval", required_argument, NULL, 'i'},
		{"stale", required_argument, NULL, 's'},
		{"timeout", required_argument, NULL, 't'},
		{"proxy", required_argument, NULL, 'p'},
		{"ca-file", required_argument, NULL, 'a'},
		{"allow-loopback-http", no_argument, NULL, 'l'},
		{"keys-file", required_argument, NULL, 'k'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	const long day = 24 * 3600;
	int letter;

	*options = (Options){.interval = 3600, .stale = day, .timeout = 5};
	options->connections = calloc(argc + 1, sizeof(char *));
	if (options->connections == NULL)
		return EXIT_FAILURE;
	while ((letter = getopt_long(argc, argv, "V", names, NULL)) != -1)
	{
		bool good = true;

		switch (letter)
		{
			case 'c':
				good = read_conninfo(optarg);
				options->connections[options->n_connections++] = optarg;
				break;
			case 'o':
				options->once = true;
				break;
			case 'i':
				good = read_seconds("interval", optarg, 1, 30 * day, &options->interval);
				break;
			case 's':
				good = read_seconds("stale", optarg, 0, 365 * day, &options->stale);
				break;
			case 't':
				good = read_seconds("timeout", optarg, 1, 300, &options->timeout);
				break;
			case 'p':
				good = read_proxy(optarg);
				options->proxy = optarg;
				break;
			case 'a':
				options->ca_file = optarg;
				break;
			case 'l':
				options->allow_loopback_http = true;
				break;
			case 'k':
				options->keys_file = optarg;
				break;
			case 'V':
				printf("smart_fhir_keys %s\n", SMART_FHIR_VERSION);
				return EXIT_SUCCESS;
			case 'h':
				fputs(help, stdout);
				return EXIT_SUCCESS;
			default:
				good = false;
		}
		if (!good)
			return EXIT_USAGE;
	}
	if (optind < argc)
	{
		log_event(NULL, "too many arguments; --help tells what it takes");
		return EXIT_USAGE;
	}
	if (options->n_connections == 0)
		options->connections[options->n_connections++] = "";
	if (options->ca_file == NULL)
	{
		options->ca_file = getenv("SSL_CERT_FILE");
		options->ca_path = getenv("SSL_CERT_DIR");
	}
	return -1;
}
