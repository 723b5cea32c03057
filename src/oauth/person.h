/*
 * src/oauth/person.h
 *		The person at the browser: who it is as a FHIR resource, and which patients it may choose.
 */
#ifndef SMART_FHIR_OAUTH_PERSON_H
#define SMART_FHIR_OAUTH_PERSON_H

#include "oauth/configuration.h"

typedef struct Person
{
	char *sub;		 /* NULL: not known, as in the next three */
	char *fhir_user; /* absolute, under the audience */
	char *type;		 /* of fhir_user: Practitioner, ... */
	char *patient;	 /* fhir_user's id, when it is a Patient */
} Person;

/* At most this long (ID-1). */
#define PERSON_MAX_SUB_BYTES 255

/* 1 to 255 printable ASCII characters. */
extern bool person_sub_is_valid(const char *sub);
/*
 * "Type/id", or absolute under the base: fill fhir_user, type and patient. False when it is neither.
 */
extern bool person_set_fhir_user(Person *person, const char *fhir_user, const char *base);
/* May user/ scopes be granted to this person: a type that can be a user (US-2)? */
extern bool person_is_user(const Person *person);
/* Same resource, either spelled relative or absolute? */
extern bool person_same_fhir_user(const char *a, const char *b, const char *base);
/*
 * May the person choose this patient: itself, one of user_patients, any with user_sees_all?
 * Runs user_patients with the caller's rights; an error in it is 55000.
 */
extern bool person_may_choose(const Person *person, const char *patient, const char *client_id,
							  const OauthConfiguration *configuration);

#endif /* SMART_FHIR_OAUTH_PERSON_H */
