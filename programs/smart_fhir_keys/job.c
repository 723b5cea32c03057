/*
 * programs/smart_fhir_keys/job.c
 *		The steps of a fetch: the discovery documents, where there is no jwks_uri, one after the
 *		other; then the keys. The database judges each answer. An answer that is none leaves the
 *		keys that are there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch.h"
#include "host.h"
#include "job.h"
#include "log.h"
#include "stop.h"
#include "uri.h"

#define FIRST_BACKOFF_SECONDS 30

typedef enum JobStep
{
	STEP_OPENID,
	STEP_SMART,
	STEP_KEYS
} JobStep;

struct Job
{
	Source *source;
	JobStep step;
	JobState state;
	char *claim;
	char *uri;	/* of the keys, once it is known */
	char *host; /* taken; NULL: none */
	double began;
	Fetch *fetch;
	FetchError discovery_error; /* of the transfers that there were; NULL: answers of no use */
};

static const char *
kind_name(const Source *source)
{
	return source->kind == SOURCE_ISSUER ? "issuer" : "client";
}

/* When a source may be tried again after so many failures in a row, in seconds. */
static double
backoff(const Options *options, int failures)
{
	double seconds = FIRST_BACKOFF_SECONDS;

	while (failures-- > 0 && seconds < (double) options->interval)
		seconds *= 2;
	return seconds < (double) options->interval ? seconds : (double) options->interval;
}

static JobState
failed(const JobSetting *setting, Job *job, FetchError error)
{
	Source *source = job->source;
	double wait = backoff(setting->options, source->failures);

	log_event(setting->db->name,
			  "%s \"%s\": not fetched: %s; next try in %.0f s",
			  kind_name(source),
			  source->name,
			  error,
			  wait);
	source->failures++;
	source->due = now_seconds() + wait;
	database_failed(setting->db, source->kind, source->name, error, wait, job->claim);
	return JOB_FAILED;
}

/* Begin the transfer of one document; NULL on success. */
static FetchError
begin(const JobSetting *setting, Job *job, const char *uri)
{
	FetchError error = NULL;

	job->fetch =
		fetch_start(setting->multi, uri, job->source->public_only, setting->options, job, &error);
	return job->fetch != NULL ? NULL : error;
}

static FetchError
begin_discovery(const JobSetting *setting, Job *job, const char *base, const char *document)
{
	size_t len = base == NULL ? 0 : strlen(base);
	size_t size = len + strlen(document) + 1;
	char *uri = len == 0 ? NULL : malloc(size);
	FetchError error;

	if (uri == NULL)
		return FETCH_DISCOVERY;
	while (len > 0 && base[len - 1] == '/')
		len--;
	snprintf(uri, size, "%.*s%s", (int) len, base, document);
	error = begin(setting, job, uri);
	free(uri);
	/* an audience need not be an address */
	return error == FETCH_ADDRESS ? FETCH_DISCOVERY : error;
}

/* Nothing came of one document: try the next, or say what was wrong. */
static JobState
next_discovery(const JobSetting *setting, Job *job, FetchError error)
{
	/* a peer that could not be reached says more than one that has no such document */
	if (job->discovery_error == NULL && (error == FETCH_ADDRESS || error == FETCH_CERTIFICATE ||
										 error == FETCH_CONNECTION || error == FETCH_TIMEOUT))
		job->discovery_error = error;
	if (job->step == STEP_OPENID)
	{
		job->step = STEP_SMART;
		error = begin_discovery(
			setting, job, job->source->metadata_base, "/.well-known/smart-configuration");
		if (error == NULL)
			return JOB_UNDERWAY;
	}
	return failed(
		setting, job, job->discovery_error != NULL ? job->discovery_error : FETCH_DISCOVERY);
}

static JobState
begin_keys(const JobSetting *setting, Job *job)
{
	FetchError error;

	job->step = STEP_KEYS;
	error = begin(setting, job, job->uri);
	return error == NULL ? JOB_UNDERWAY : failed(setting, job, error);
}

/* The host of a URI that somebody registered himself; false: it is being asked. */
static bool
take_host(const JobSetting *setting, Job *job)
{
	const UriRules rules = {setting->options->allow_loopback_http, true};
	Uri uri;

	if (!job->source->public_only || !uri_read(&uri, job->source->jwks_uri, &rules))
		return true; /* what may not be asked, fetch_start() says */
	if (!host_take(uri.host))
	{
		uri_free(&uri);
		return false;
	}
	job->host = uri.host;
	uri.host = NULL;
	uri_free(&uri);
	return true;
}

Job *
job_start(const JobSetting *setting, Source *source, const char *reason)
{
	const Options *options = setting->options;
	/* three documents, and what the database takes */
	double lease = 3.0 * (double) options->timeout + 15;
	Job *job = calloc(1, sizeof(Job));

	if (job == NULL)
		return NULL;
	job->source = source;
	job->began = now_seconds();
	if (take_host(setting, job))
		job->claim = database_begin(
			setting->db, source->kind, source->name, source->jwks_uri, reason, lease);
	if (job->claim == NULL)
	{
		job_free(job);
		return NULL;
	}
	source->job = job;
	source->tried = job->began;
	if (source->jwks_uri != NULL)
	{
		job->uri = strdup(source->jwks_uri);
		job->state = job->uri == NULL ? JOB_LOST : begin_keys(setting, job);
	}
	else
	{
		FetchError error =
			begin_discovery(setting, job, source->name, "/.well-known/openid-configuration");

		job->state = error == NULL ? JOB_UNDERWAY : next_discovery(setting, job, error);
	}
	return job;
}

/* A discovery document came, or did not. */
static JobState
take_discovery(const JobSetting *setting, Job *job, FetchError error)
{
	size_t len;
	const char *body;

	if (error == NULL)
	{
		body = fetch_body(job->fetch, &len);
		job->uri = database_discovered(setting->db, job->source->name, body, len);
	}
	fetch_free(job->fetch);
	job->fetch = NULL;
	if (setting->db->conn == NULL)
		return JOB_LOST;
	if (job->uri == NULL)
		return next_discovery(setting, job, error);
	return begin_keys(setting, job);
}

static JobState
take_keys(const JobSetting *setting, Job *job, FetchError error)
{
	const Options *options = setting->options;
	Source *source = job->source;
	size_t len;
	const char *body;
	char *verdict;
	JobState state;

	if (error != NULL)
		return failed(setting, job, error);
	body = fetch_body(job->fetch, &len);
	verdict = database_take(setting->db,
							source->kind,
							source->name,
							job->uri,
							body,
							len,
							(double) options->interval,
							(double) options->stale,
							job->claim);
	if (verdict == NULL)
		state = JOB_LOST;
	else if (strcmp(verdict, "stored") == 0)
	{
		log_event(setting->db->name, "%s \"%s\": keys stored", kind_name(source), source->name);
		source->failures = 0;
		source->due = now_seconds() + (double) options->interval;
		state = JOB_STORED;
	}
	else if (strcmp(verdict, "superseded") == 0)
	{
		log_event(setting->db->name,
				  "%s \"%s\": answer dropped, it changed meanwhile",
				  kind_name(source),
				  source->name);
		state = JOB_SUPERSEDED;
	}
	else
		state = failed(setting, job, verdict);
	free(verdict);
	return state;
}

JobState
job_advance(const JobSetting *setting, Job *job, CURLcode code)
{
	FetchError error = fetch_finish(job->fetch, code);

	job->state = job->step == STEP_KEYS ? take_keys(setting, job, error)
										: take_discovery(setting, job, error);
	/* what was asked for while it was under way is still to be done */
	if (job->state != JOB_UNDERWAY && job->source->asked != SOURCE_NEVER &&
		job->source->asked < job->began)
		job->source->asked = SOURCE_NEVER;
	return job->state;
}

JobState
job_state(const Job *job)
{
	return job->state;
}

Source *
job_source(const Job *job)
{
	return job->source;
}

void
job_free(Job *job)
{
	if (job->fetch != NULL)
		fetch_free(job->fetch);
	if (job->host != NULL)
		host_give_back(job->host);
	free(job->host);
	free(job->claim);
	free(job->uri);
	free(job);
}
