/*
 * programs/smart_fhir_keys/source.c
 *		The sources of a database, in order of kind and name. Knows nothing of fetching.
 */
#include <stdlib.h>
#include <string.h>

#include "source.h"
#include "stop.h"

static int
compare(const Source *source, SourceKind kind, const char *name)
{
	if (source->kind != kind)
		return source->kind < kind ? -1 : 1;
	return strcmp(source->name, name);
}

static void
free_source(Source *source)
{
	free(source->name);
	free(source->jwks_uri);
	free(source->metadata_base);
	free(source);
}

static bool
replace_text(char **text, const char *new)
{
	char *copy = new == NULL ? NULL : strdup(new);

	if (new != NULL && copy == NULL)
		return false;
	free(*text);
	*text = copy;
	return true;
}

static Source *
new_source(SourceKind kind, const char *name)
{
	Source *source = calloc(1, sizeof(Source));

	if (source == NULL || !replace_text(&source->name, name))
	{
		free(source);
		return NULL;
	}
	source->kind = kind;
	source->asked = source->tried = SOURCE_NEVER;
	return source;
}

/* A request is answered by a fetch that began after it, whoever did it. */
static void
update_source(Source *source, const SourceRow *row, double now)
{
	replace_text(&source->jwks_uri, row->jwks_uri);
	replace_text(&source->metadata_base, row->metadata_base);
	source->public_only = row->public_only;
	source->due = now + row->due_in;
	source->tried = row->tried_ago < 0 ? SOURCE_NEVER : now - row->tried_ago;
	source->failures = row->failures;
	if (source->asked != SOURCE_NEVER && source->tried > source->asked)
		source->asked = SOURCE_NEVER;
}

/* Both are in order: the old list and the rows. */
static void
merge_rows(SourceList *old, int *at, SourceList *new, const PGresult *result, SourceKind kind)
{
	double now = now_seconds();

	for (int i = 0; i < PQntuples(result); i++)
	{
		SourceRow row = database_source_row(result, kind, i);
		Source *source = NULL;

		while (*at < old->n && compare(old->items[*at], kind, row.name) < 0)
			(*at)++;
		if (*at < old->n && compare(old->items[*at], kind, row.name) == 0)
		{
			source = old->items[*at];
			old->items[(*at)++] = NULL;
		}
		else
			source = new_source(kind, row.name);
		if (source == NULL)
			continue;
		/* a job goes by what was said when it began */
		if (source->job == NULL)
			update_source(source, &row, now);
		new->items[new->n++] = source;
	}
}

bool
source_refresh(SourceList *list, Database *db)
{
	PGresult *issuers = database_sources(db, SOURCE_ISSUER);
	PGresult *clients =
		issuers == NULL || !db->has_clients ? NULL : database_sources(db, SOURCE_CLIENT);
	SourceList new = {0};
	int at = 0;

	if (issuers != NULL && (clients != NULL || !db->has_clients))
		new.items = calloc(PQntuples(issuers) + PQntuples(clients) + 1, sizeof(Source *));
	if (new.items != NULL)
	{
		merge_rows(list, &at, &new, issuers, SOURCE_ISSUER);
		merge_rows(list, &at, &new, clients, SOURCE_CLIENT);
		source_clear(list);
		*list = new;
	}
	PQclear(issuers);
	PQclear(clients);
	return new.items != NULL;
}

Source *
source_find_issuer(const SourceList *list, const char *name)
{
	int low = 0;
	int high = list->n;

	while (low < high)
	{
		int middle = (low + high) / 2;
		int order = compare(list->items[middle], SOURCE_ISSUER, name);

		if (order == 0)
			return list->items[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

void
source_clear(SourceList *list)
{
	for (int i = 0; i < list->n; i++)
		if (list->items[i] != NULL && list->items[i]->job == NULL)
			free_source(list->items[i]);
	free(list->items);
	*list = (SourceList){0};
}

void
source_release(const SourceList *list, Source *source)
{
	source->job = NULL;
	for (int i = 0; i < list->n; i++)
		if (list->items[i] == source)
			return;
	free_source(source);
}
