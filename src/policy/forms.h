/*
 * src/policy/forms.h
 *		Which form a policy's call takes under a session.
 */
#ifndef SMART_FHIR_POLICY_FORMS_H
#define SMART_FHIR_POLICY_FORMS_H

#include "utils/jsonb.h"

#include "access/shape.h"
#include "compat.h"
#include "session/session.h"

/* Forms of a folded call; src/policy/fold.c says what each is. */
typedef enum PolicyForm
{
	POLICY_BY_ROW,
	POLICY_ONE,			   /* one patient's rows, or none: no patient, no scope, nobody */
	POLICY_SEVERAL,		   /* the rows of several patients */
	POLICY_DOZENS,		   /* the rows of more than a few */
	POLICY_MANY,		   /* the rows of hundreds */
	POLICY_ONE_WITHIN,	   /* some of one patient's rows */
	POLICY_SEVERAL_WITHIN, /* some of several patients' rows */
	POLICY_ALL,			   /* every valid row: the call is gone */
	POLICY_ALL_BY_ROW,	   /* the same where the table holds irregular rows: asked by row */
	POLICY_N_FORMS
} PolicyForm;

/* Is it a listed number of patients' rows, all of them and nothing else? */
static inline bool
policy_form_is_whole(PolicyForm form)
{
	return form >= POLICY_ONE && form <= POLICY_MANY;
}

/*
 * A call of smart_internal.row_policy() apart from its row; 0 is none. The number is good until
 * the next policy_call_find(): keep what the call was told, and find it again.
 */
typedef uint32 PolicyCall;

/*
 * The call with this command, type and options. type NULL: of many types. 0 when they are too
 * long to be remembered. Raises what policy_options() raises, and 22023 for a command that is none.
 */
extern PolicyCall policy_call_find(text *command, text *type, Jsonb *options);

/* What the call was told of its table; NULL when the call is no longer known. */
extern const AccessTable *policy_call_table(PolicyCall call);
/* Does the table spell its stored keys Patient/<id>? */
extern bool policy_call_has_references(PolicyCall call);

/*
 * The form that the call has under a session, NULL for nobody. *levels: bits 1 << ScopeLevel of
 * the patients that ONE and SEVERAL speak of.
 */
extern PolicyForm policy_call_form(PolicyCall call, const Session *session, int *levels);

extern void policy_forms_init(void);

#endif /* SMART_FHIR_POLICY_FORMS_H */
