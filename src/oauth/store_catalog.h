/*
 * src/oauth/store_catalog.h
 *		What src/oauth/store.c knows of its tables and indexes.
 */
#ifndef SMART_FHIR_OAUTH_STORE_CATALOG_H
#define SMART_FHIR_OAUTH_STORE_CATALOG_H

#include "oauth/store.h"

typedef struct StoreTableInfo
{
	const char *name;
	int n_columns;
	const char *expiry_index; /* NULL: rows do not expire */
	int expiry_column;
	bool watched; /* what is read of it is kept: a change moves store_epoch() */
} StoreTableInfo;

typedef struct StoreIndexInfo
{
	StoreTable table;
	const char *name;
	int column; /* 0: all rows, no key */
	RegProcedure equal;
} StoreIndexInfo;

extern const StoreTableInfo store_tables[STORE_N_TABLES];
extern const StoreIndexInfo store_indexes[STORE_N_INDEXES];

/* 55000 when CREATE EXTENSION smart_fhir_oauth was not run in this database. */
extern Oid store_index_oid(StoreIndex index);
extern Oid store_expiry_index_oid(StoreTable table);

#endif /* SMART_FHIR_OAUTH_STORE_CATALOG_H */
