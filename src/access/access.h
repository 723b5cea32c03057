/*
 * src/access/access.h
 *		The decision: may this session do this to this resource?
 *
 * level x type x action x compartment x search parameters (design.md "How a row is decided").
 * One home: policies, permits(), permits_row(), allows() and require() all call it. A pure
 * function of its arguments and the generated tables; it raises nothing and looks at no clock.
 */
#ifndef SMART_FHIR_ACCESS_H
#define SMART_FHIR_ACCESS_H

#include "access/scope.h"
#include "fhir/fhir.h"
#include "session/data.h"

typedef enum AccessShared
{
	SHARED_DEFAULT, /* by smart_fhir.shared_types */
	SHARED_NO,
	SHARED_YES
} AccessShared;

/* What smart.protect() was told of a table. */
typedef struct AccessTable
{
	FhirVersion version;
	FhirReading reading;
	AccessShared shared;
	const char *shared_types; /* for SHARED_DEFAULT: names one after the other, ended by an empty
								 * one; NULL: smart_fhir.shared_types */
	FhirText base_url;		  /* without trailing slash; data NULL: none */
	bool has_patients;		  /* a column gives the patients' keys */
	bool one_key;			  /* regular rows have one key at most */
	bool references;		  /* and a stored one is spelled Patient/<id> */
	bool followed;			  /* of the records that the row names: no subject is asked for */
} AccessTable;

/* One resource, or one row of a table. */
typedef struct AccessRow
{
	bool valid; /* fhir_resource_init() took it */
	FhirResource resource;
	FhirKeys patients; /* from the table's own column, when it has one */
	bool misspelled;   /* such a key is in the form that the table's others are not */
	bool stray_key;	   /* beside those keys stands something that is no patient's */
	bool uuid_keys;	   /* those are uuids in canonical text: case does not count */
	/* filled when first needed */
	bool has_subjects;
	bool has_members;
	FhirKeys subjects;
	FhirKeys members;
} AccessRow;

/* Why a grant did not help, the nearest to helping last; for smart.explain() and smart.require(). */
typedef enum AccessReason
{
	ACCESS_ALLOWED,
	ACCESS_NOT_A_RESOURCE, /* no object, no type, or another type than the table's */
	ACCESS_BASE_URL,	   /* the token does not open the table's FHIR base */
	ACCESS_NO_SCOPE,	   /* no scope has the letter for the type */
	ACCESS_CONSTRAINT,	   /* a search parameter does not match */
	ACCESS_NO_PERSON,	   /* no patient in context, no usable fhirUser */
	ACCESS_OUTSIDE,		   /* the type is in no patient's compartment */
	ACCESS_OTHER_PATIENT,  /* the row is about somebody else */
	ACCESS_SHARED_WRITE	   /* a shared type is written by everyone's right only */
} AccessReason;

extern void access_row_init(AccessRow *row);
extern void access_row_reset(AccessRow *row);

/* May the session use one letter (SCOPE_C ...), or both of SCOPE_R | SCOPE_S, on the row? */
extern bool access_permits(const Session *session, const AccessTable *table, AccessRow *row,
						   int letters);

/* The same for one grant, with the reason. */
extern AccessReason access_grant_reason(const Session *session, const AccessTable *table,
										AccessRow *row, const AccessGrant *grant, int letter);
/* What stands before any grant: ACCESS_ALLOWED when grants are to be asked. */
extern AccessReason access_row_reason(const Session *session, const AccessTable *table,
									  const AccessRow *row);

/*
 * Could any row of a type in such a table be allowed for the letter? ACCESS_ALLOWED, or what stands
 * in the way, and at which *level.
 */
extern AccessReason access_type_reason(const Session *session, const AccessTable *table, int type,
									   int letter, ScopeLevel *level);

/* Has a valid row one key, spelled as its table's are? False makes it an irregular one. */
extern bool access_row_has_one_key(const AccessTable *table, AccessRow *row);

/* What a statement needs, by interaction (design.md, table of interactions). */
typedef enum AccessCommand
{
	COMMAND_SELECT,
	COMMAND_TARGET, /* what SELECT is asked of the rows that a statement itself writes */
	COMMAND_INSERT,
	COMMAND_UPDATE,
	COMMAND_DELETE
} AccessCommand;

extern bool access_permits_command(const Session *session, const AccessTable *table, AccessRow *row,
								   AccessCommand command);
/* The letters (1 or 2) that a row needs, all of them, for a command to see or change it. */
extern int access_command_letters(const Session *session, AccessCommand command, int letters[2]);

/* Parts of the decision that concern a table or a type as a whole; for src/access/shape.c. */
extern const AccessGrants *access_session_grants(const Session *session, FhirVersion version,
												 int type);
extern bool access_table_shares(const AccessTable *table, const char *type_name, size_t len);
extern bool access_base_is_open(const Session *session, const AccessTable *table);

/* Is the type (by name) in smart_fhir.shared_types? */
extern bool access_type_is_shared(const char *name, size_t len);
/* Is the name in a list of names one after the other, ended by an empty one? */
extern bool access_names_contain(const char *names, const char *name, size_t len);
/* The list of smart_fhir.shared_types in that form. */
extern const char *access_shared_types(void);
extern void access_init(void);

#endif /* SMART_FHIR_ACCESS_H */
