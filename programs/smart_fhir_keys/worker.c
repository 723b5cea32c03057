/*
 * programs/smart_fhir_keys/worker.c
 *		When what is fetched: the sources that are due or asked for, a few at a time, in a loop that
 *		waits for peers, the database and the end of the program at once. What a fetch is, job.c
 *		knows.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch.h"
#include "job.h"
#include "keys_file.h"
#include "log.h"
#include "stop.h"
#include "worker.h"

/* Looked at anew after so long: new issuers, other programs' fetches, changes for the file. */
#define LOOK_SECONDS 5
#define MAX_RECONNECT_SECONDS 30
/* Between two fetches that somebody asked for; the database has the last word. */
#define REQUEST_SECONDS 30
/* Clients cannot hold up issuers. */
#define MAX_ISSUER_JOBS 16
#define MAX_CLIENT_JOBS 8

typedef struct State
{
	Worker *worker;
	const Options *options;
	Database db;
	JobSetting setting;
	SourceList sources;
	Job *jobs[MAX_ISSUER_JOBS + MAX_CLIENT_JOBS];
	int n_jobs[2]; /* by SourceKind */
	double look_at;
	double reconnect_wait;
	bool told_standby;
	char *file_until; /* the rows of the keys file are good until then */
	double file_renew_at;
	bool is_listed; /* --once: the sources were read */
} State;

static double
least(double a, double b)
{
	return a < b ? a : b;
}

static double
most(double a, double b)
{
	return a > b ? a : b;
}

/* The job is over. */
static void
end_job(State *state, Job *job)
{
	Source *source = job_source(job);

	state->n_jobs[source->kind]--;
	for (size_t i = 0; i < sizeof(state->jobs) / sizeof(state->jobs[0]); i++)
		if (state->jobs[i] == job)
			state->jobs[i] = NULL;
	job_free(job);
	source->done = true;
	source_release(&state->sources, source);
}

/* What came of a job; a client's failure is the client's. */
static void
settle(State *state, Job *job, JobState outcome)
{
	if (outcome == JOB_LOST || (outcome == JOB_FAILED && job_source(job)->kind == SOURCE_ISSUER))
		state->worker->failed = true;
	if (outcome == JOB_STORED && state->options->keys_file != NULL)
		state->look_at = 0;
	if (outcome == JOB_LOST || outcome == JOB_SUPERSEDED)
	{
		job_source(job)->not_before = now_seconds() + 1;
		state->look_at = least(state->look_at, now_seconds() + 1);
	}
	end_job(state, job);
}

static void
drop_jobs(State *state)
{
	for (size_t i = 0; i < sizeof(state->jobs) / sizeof(state->jobs[0]); i++)
		if (state->jobs[i] != NULL)
			end_job(state, state->jobs[i]);
}

static bool
slots_left(const State *state, SourceKind kind)
{
	return state->n_jobs[kind] < (kind == SOURCE_ISSUER ? MAX_ISSUER_JOBS : MAX_CLIENT_JOBS);
}

/* When it is to be fetched; *reason says why. */
static double
start_time(const State *state, const Source *source, const char **reason)
{
	double asked = source->asked == SOURCE_NEVER
					   ? source->due
					   : most(source->asked,
							  source->tried == SOURCE_NEVER ? 0 : source->tried + REQUEST_SECONDS);

	if (state->options->once)
	{
		*reason = "once";
		return source->not_before;
	}
	*reason = asked < source->due ? "request" : "due";
	return most(least(asked, source->due), source->not_before);
}

/* The one of a kind that waits the longest, and since when; NULL: none can be begun. */
static Source *
next_source(const State *state, SourceKind kind, double *when, const char **reason)
{
	Source *next = NULL;

	for (int i = 0; slots_left(state, kind) && i < state->sources.n; i++)
	{
		Source *source = state->sources.items[i];
		const char *why;
		double at;

		if (source->kind != kind || source->job != NULL || (state->options->once && source->done))
			continue;
		at = start_time(state, source, &why);
		if (next == NULL || at < *when)
		{
			next = source;
			*when = at;
			*reason = why;
		}
	}
	return next;
}

static void
keep_job(State *state, Job *job)
{
	size_t i = 0;

	state->n_jobs[job_source(job)->kind]++;
	while (state->jobs[i] != NULL)
		i++;
	state->jobs[i] = job;
	if (job_state(job) != JOB_UNDERWAY)
		settle(state, job, job_state(job));
}

/* Begin what is due. When to come back for the next: *wake becomes no later. */
static void
start_jobs(State *state, double *wake)
{
	for (SourceKind kind = SOURCE_ISSUER; kind <= SOURCE_CLIENT; kind++)
	{
		double when = 0;
		const char *reason = NULL;
		Source *source;

		while (state->db.conn != NULL &&
			   (source = next_source(state, kind, &when, &reason)) != NULL)
		{
			Job *job;

			if (when > now_seconds())
			{
				*wake = least(*wake, when);
				break;
			}
			job = job_start(&state->setting, source, reason);
			if (job != NULL)
				keep_job(state, job);
			else
			{
				source->not_before = now_seconds() + 1;
				state->look_at = least(state->look_at, now_seconds() + 1);
			}
		}
	}
}

static void
take_requests(State *state)
{
	char *issuer;

	while ((issuer = database_request(&state->db)) != NULL)
	{
		Source *source = source_find_issuer(&state->sources, issuer);

		if (source != NULL && source->asked == SOURCE_NEVER)
			source->asked = now_seconds();
		else if (source != NULL && source->job != NULL)
			source->asked = now_seconds();
		free(issuer);
	}
}

/* What this database gives to the keys file; nothing where none is asked for. */
static bool
put_keys_file(State *state)
{
	const Options *options = state->options;
	PGresult *result;
	char *rows = NULL;
	size_t size = 1;

	if (options->keys_file == NULL)
		return true;
	if (state->file_until == NULL || now_seconds() >= state->file_renew_at)
	{
		free(state->file_until);
		state->file_until =
			database_time_after(&state->db, (double) options->interval + (double) options->stale);
		state->file_renew_at = now_seconds() + (double) options->interval / 2;
	}
	result = state->file_until == NULL ? NULL : database_file_rows(&state->db, state->file_until);
	if (result == NULL)
		return false;
	for (int i = 0; i < PQntuples(result); i++)
		size += PQgetlength(result, i, 0) + 2;
	rows = malloc(size);
	if (rows != NULL)
	{
		char *at = rows;

		*at = '\0';
		for (int i = 0; i < PQntuples(result); i++)
			at += sprintf(at, "%s%s", i == 0 ? "" : ",\n", PQgetvalue(result, i, 0));
	}
	PQclear(result);
	return rows != NULL && keys_file_put(state->worker->number, rows);
}

/* Read anew what there is to do. False: the database is gone. */
static bool
look(State *state)
{
	bool good = database_look(&state->db);

	state->look_at = now_seconds() + LOOK_SECONDS;
	if (good && state->db.standby)
	{
		if (!state->told_standby)
			log_event(state->db.name, "in recovery: its keys come from the primary");
		drop_jobs(state);
		source_clear(&state->sources);
	}
	else if (good)
		good = source_refresh(&state->sources, &state->db);
	state->told_standby = good && state->db.standby;
	state->is_listed = state->is_listed || good;
	if (good && !put_keys_file(state) && state->options->once)
		state->worker->failed = true;
	return good && state->db.conn != NULL;
}

static void
take_transfers(State *state)
{
	CURLMsg *message;
	int running;
	int left;

	curl_multi_perform(state->setting.multi, &running);
	while ((message = curl_multi_info_read(state->setting.multi, &left)) != NULL)
	{
		CURLcode code = message->data.result;
		Job *job = fetch_owner(message->easy_handle);
		JobState outcome = job_advance(&state->setting, job, code);

		if (outcome != JOB_UNDERWAY)
			settle(state, job, outcome);
	}
}

/* Wait for peers, the database, the end, and no longer than until then. */
static void
wait_for_events(State *state, double until)
{
	struct curl_waitfd fds[2] = {{.fd = stop_fd(), .events = CURL_WAIT_POLLIN}};
	double left = until - now_seconds();
	unsigned n = 1;

	if (state->db.conn != NULL)
		fds[n++] = (struct curl_waitfd){.fd = PQsocket(state->db.conn), .events = CURL_WAIT_POLLIN};
	if (left > 0)
		curl_multi_poll(state->setting.multi, fds, n, (int) (least(left, 3600) * 1000) + 1, NULL);
}

/* False: not yet. */
static bool
connect_again(State *state)
{
	if (database_connect(&state->db))
	{
		log_event(state->db.name, "connected");
		state->look_at = 0;
		return true;
	}
	return false;
}

/* One round; how long there is nothing to do. */
static double
serve(State *state)
{
	double wake;

	if (state->db.conn == NULL && !connect_again(state))
		state->look_at = now_seconds() + state->reconnect_wait;
	else if (now_seconds() >= state->look_at)
	{
		if (look(state))
			state->reconnect_wait = 1;
		else if (state->options->once)
			database_close(&state->db);
	}
	wake = state->look_at;
	if (state->db.conn != NULL)
	{
		take_requests(state);
		take_transfers(state);
		start_jobs(state, &wake);
	}
	if (state->db.conn == NULL)
	{
		drop_jobs(state);
		wake = state->look_at = now_seconds() + state->reconnect_wait;
		state->reconnect_wait = least(state->reconnect_wait * 2, MAX_RECONNECT_SECONDS);
	}
	return wake;
}

static bool
is_done(const State *state)
{
	if (stopping())
		return true;
	if (!state->options->once)
		return false;
	if (state->db.conn == NULL)
		return true;
	if (!state->is_listed || state->n_jobs[SOURCE_ISSUER] + state->n_jobs[SOURCE_CLIENT] > 0)
		return false;
	for (int i = 0; i < state->sources.n; i++)
		if (!state->sources.items[i]->done)
			return false;
	return true;
}

void *
worker_run(void *arg)
{
	Worker *worker = arg;
	State state = {.worker = worker,
				   .options = worker->options,
				   .db = {.conninfo = worker->options->connections[worker->number]},
				   .reconnect_wait = 1};

	snprintf(state.db.name, sizeof(state.db.name), "connection %d", worker->number + 1);
	state.setting =
		(JobSetting){.options = state.options, .db = &state.db, .multi = curl_multi_init()};
	while (state.setting.multi != NULL)
	{
		double wake = serve(&state);

		if (is_done(&state))
			break;
		wait_for_events(&state, wake);
	}
	if (worker->options->once && !stopping())
	{
		if (state.db.conn == NULL || !state.is_listed)
			worker->failed = true;
		else if (!put_keys_file(&state))
			worker->failed = true;
	}
	drop_jobs(&state);
	source_clear(&state.sources);
	free(state.file_until);
	database_close(&state.db);
	curl_multi_cleanup(state.setting.multi);
	atomic_fetch_add(worker->ended, 1);
	kill(getpid(), SIGUSR1);
	return NULL;
}
