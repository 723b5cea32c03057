/*
 * programs/smart_fhir_keys/source.h
 *		What is fetched for one database: its issuers, then its clients, and when each is due.
 */
#ifndef SMART_FHIR_KEYS_SOURCE_H
#define SMART_FHIR_KEYS_SOURCE_H

#include "database.h"

/* No early fetch was asked for; never tried. */
#define SOURCE_NEVER (-1.0)

typedef struct Source
{
	SourceKind kind;
	char *name;
	char *jwks_uri;		 /* NULL: to be discovered */
	char *metadata_base; /* NULL: none */
	bool public_only;
	double due;		   /* by now_seconds() */
	double tried;	   /* when a fetch began last, by any program; SOURCE_NEVER */
	double asked;	   /* when an early one was asked for; SOURCE_NEVER */
	double not_before; /* after a start that was not granted */
	int failures;	   /* in a row */
	bool done;		   /* --once */
	void *job;		   /* NULL: none is under way */
} Source;

typedef struct SourceList
{
	Source **items;
	int n;
} SourceList;

/*
 * Take over what the database lists. A source that it lists no more goes, unless a job is under
 * way: source_is_listed() tells the job, which then frees it. False: it failed, nothing changed.
 */
extern bool source_refresh(SourceList *list, Database *db);
/* The issuer of this name, or NULL. */
extern Source *source_find_issuer(const SourceList *list, const char *name);
/* Nothing is listed any more. */
extern void source_clear(SourceList *list);
/* The job of a source is over: frees it when it is listed no more. */
extern void source_release(const SourceList *list, Source *source);

#endif /* SMART_FHIR_KEYS_SOURCE_H */
