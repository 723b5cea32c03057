/*
 * src/oauth/guess.h
 *		Guesses of user codes, counted a person.
 */
#ifndef SMART_FHIR_OAUTH_GUESS_H
#define SMART_FHIR_OAUTH_GUESS_H

/* More in a minute are not looked at. */
#define GUESS_LIMIT 30

/*
 * Take one of this person's guesses of the minute ("": of nobody in particular). False when there is none left; *wait:
 * seconds until there is. Stays taken whatever becomes of the transaction.
 */
extern bool guess_take(const char *person, int *wait);
/* It was none: the code was right. */
extern void guess_give_back(const char *person);

#endif /* SMART_FHIR_OAUTH_GUESS_H */
