/*
 * programs/smart_fhir_keys/job.h
 *		One fetch of one source, from the claim to what became of it.
 */
#ifndef SMART_FHIR_KEYS_JOB_H
#define SMART_FHIR_KEYS_JOB_H

#include <curl/curl.h>

#include "database.h"
#include "options.h"
#include "source.h"

typedef struct Job Job;

typedef enum JobState
{
	JOB_UNDERWAY,
	JOB_STORED,
	JOB_FAILED,
	JOB_SUPERSEDED,
	JOB_LOST /* the database was: whoever is next begins anew */
} JobState;

/* What a database's jobs work with. */
typedef struct JobSetting
{
	const Options *options;
	Database *db;
	CURLM *multi;
} JobSetting;

/*
 * Claim and begin. NULL: not now, since another program has it, its host is being asked, or the
 * database is gone. Else source->job is set, and the job is to be ended with job_free().
 */
extern Job *job_start(const JobSetting *setting, Source *source, const char *reason);
/* A transfer of it is done. */
extern JobState job_advance(const JobSetting *setting, Job *job, CURLcode code);
/* After job_start() JOB_FAILED or JOB_LOST: it did not come to a transfer. */
extern JobState job_state(const Job *job);
extern Source *job_source(const Job *job);
/* Does not free the source. */
extern void job_free(Job *job);

#endif /* SMART_FHIR_KEYS_JOB_H */
