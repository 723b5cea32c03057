/*
 * src/policy/options.h
 *		What smart.protect() was told of a table, as it stands in the policies' options.
 */
#ifndef SMART_FHIR_POLICY_OPTIONS_H
#define SMART_FHIR_POLICY_OPTIONS_H

#include "utils/jsonb.h"

#include "access/access.h"
#include "compat.h"

/*
 * Options that a policy carries, as AccessTable; raises 55000 when they were made for other
 * generated tables than these. Texts are copied to CurrentMemoryContext.
 */
extern void policy_options(Jsonb *options, AccessTable *table);

/*
 * The same of options that may be anybody's: false for what cannot be read. It does not ask for which
 * tables they were made.
 */
extern bool policy_options_read(Jsonb *options, AccessTable *table);

/* Do they say that stored keys are spelled Patient/<id>? */
extern bool policy_keys_are_references(Jsonb *options);
/* Were they made for these generated tables? */
extern bool policy_options_are_current(Jsonb *options);
/* A text among the options, palloc'd, or NULL. */
extern char *policy_option_text(Jsonb *options, const char *name);
/* No policy is written with it: src/policy/guard.c puts it in the place of SELECT. */
#define COMMAND_TARGET_NAME "SELECT TARGET"
/* SELECT, INSERT CHECK, ...; *check: of a new row, raises instead of returning false. */
extern AccessCommand policy_command_parse(const char *name, bool *check);
/* A boolean among them; false when it is not there. */
extern bool policy_option_bool(Jsonb *options, const char *name);

#endif /* SMART_FHIR_POLICY_OPTIONS_H */
