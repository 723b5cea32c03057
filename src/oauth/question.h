/*
 * src/oauth/question.h
 *		What a front end must ask a person before an approval can be given.
 */
#ifndef SMART_FHIR_OAUTH_QUESTION_H
#define SMART_FHIR_OAUTH_QUESTION_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "oauth/authorization.h"
#include "oauth/person.h"

/* What the front end knows of the person. */
typedef struct Known
{
	Person person;
	char *patient; /* NULL: it does not know */
} Known;

typedef struct Question
{
	char *before; /* scopes that the person has agreed to before; "": none */
	List *needs;  /* user, patient, encounter, consent, in this order */
} Question;

/* Raises 22023 for a person that is not as it should be. person may be NULL: nothing is known. */
extern void question_check_person(const Jsonb *person);
extern void question_read_person(const Jsonb *person, const char *base, Known *known);
/* person.sub, else person.fhirUser; "" when neither is known. */
extern char *question_who(const Jsonb *person);
extern void question_make(const AuthorizationRequest *request, const Known *known,
						  Question *question);
/* The body of the answer. */
extern Jsonb *question_body(const AuthorizationRequest *request, const Known *known,
							const Question *question);

#endif /* SMART_FHIR_OAUTH_QUESTION_H */
