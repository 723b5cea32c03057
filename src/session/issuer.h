/*
 * src/session/issuer.h
 *		Who may vouch: the rows of smart.issuer, parsed and cached.
 */
#ifndef SMART_FHIR_ISSUER_H
#define SMART_FHIR_ISSUER_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "jose/jose.h"

#define ISSUER_MAX_LEEWAY_SECS 300
#define ISSUER_DEFAULT_LEEWAY_SECS 60
#define ISSUER_DEFAULT_MAX_AGE_SECS (24 * 3600)
#define ISSUER_CACHE_SIZE 2048

/* Levels that an issuer may grant, one bit each: 1 << ScopeLevel. */
#define ISSUER_ALL_LEVELS 0x07

/* An array of texts; null true: the column is NULL. */
typedef struct IssuerTexts
{
	bool null;
	int n;
	char **values;
} IssuerTexts;

/* One row, options NULL in the table replaced by their defaults. Read-only. */
typedef struct Issuer
{
	char *issuer;
	JoseKeySet *keys; /* NULL: the stored set cannot be used */
	char *preset;	  /* NULL: none */
	IssuerTexts audience;
	uint32 algorithms; /* JOSE_* bits */
	int64 leeway_usecs;
	int64 max_age_usecs;
	IssuerTexts token_types;
	IssuerTexts required_claims;
	IssuerTexts client_ids;
	IssuerTexts base_urls;
	Jsonb *claim_map; /* NULL: none */
	int max_patients;
	bool patient_from_fhir_user;
	char *patient_aliases; /* regprocedure as text, NULL: none */
	char *user_patients;
	bool user_sees_all;
	IssuerTexts staff_types; /* of fhirUser, whom user_sees_all means */
	bool patient_references; /* Patient/1 and <own base>/Patient/1 are patient 1 in claims */
	int levels;
	bool fetched;			  /* its keys are, by smart_fhir_keys */
	TimestampTz refuse_after; /* without a good answer since; DT_NOEND: never */
} Issuer;

/*
 * The rest of an issuer whose other members are filled in as its row has them: defaults for what is NULL, and what
 * follows from algorithms, levels and jwks (NULL: none), in CurrentMemoryContext.
 */
extern void issuer_complete(Issuer *issuer, IssuerTexts algorithms, IssuerTexts levels,
							Jsonb *jwks);

/*
 * The issuer of this exact name, or NULL. Reads the table with a fresh snapshot when the
 * cache is stale, whatever the transaction's isolation level. The result stays valid until
 * the next issuer_lookup() unless issuer_hold() is in force.
 */
extern const Issuer *issuer_lookup(const char *name);

/* Between hold and release no Issuer is freed. They nest; release also on error. */
extern void issuer_hold(void);
extern void issuer_release(void);

/* Changes whenever smart.issuer may have changed; takes pending invalidations first. */
extern uint64 issuer_epoch(void);

extern bool issuer_texts_contain(const IssuerTexts *texts, const char *value, size_t len);

extern void issuer_init(void);

#endif /* SMART_FHIR_ISSUER_H */
