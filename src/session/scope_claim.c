/*
 * src/session/scope_claim.c
 *		The scope claim of a token: what of it may grant something, and what is ignored and why.
 *
 * Compiles nothing and decides nothing. Knows scopes and FHIR, no session.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"

#include "compat.h"
#include "fhir/fhir.h"
#include "scope/order.h"
#include "scope/parse.h"
#include "session/scope_claim.h"

#define MAX_IGNORED 1000

/* Why a resource scope grants nothing in any FHIR version; NULL when it does in one. */
static const char *
scope_problem(const ScopeItem *item)
{
	const char *problem = NULL;

	for (int version = 0; version < FHIR_VERSIONS; version++)
	{
		const char *reason = NULL;
		int type = -1;

		if (strcmp(item->resource_type, "*") != 0)
		{
			type = fhir_type_lookup(version, item->resource_type, strlen(item->resource_type));
			if (type < 0)
				reason = "unknown resource type";
		}
		for (int i = 0; i < item->n_params && reason == NULL; i++)
		{
			const ScopeParam *param = &item->params[i];

			if (type < 0 ? fhir_constraint_check_any(version, param->name, param->value, &reason)
						 : fhir_constraint_compile(
							   version, type, param->name, param->value, &reason) != NULL)
				reason = NULL;
		}
		if (reason == NULL)
			return NULL;
		/* the first version that knows the type has the best reason */
		if (problem == NULL || (type >= 0 && strcmp(problem, "unknown resource type") == 0))
			problem = reason;
	}
	return problem;
}

static List *
ignore(List *ignored, const char *scope, const char *reason)
{
	if (list_length(ignored) >= 2 * MAX_IGNORED)
		return ignored;
	ignored = lappend(ignored, unconstify(char *, scope));
	return lappend(ignored, unconstify(char *, reason));
}

/* Do some alternatives of one scope token grant something, and others nothing anywhere? */
static const char *
spoiling_alternative(const ScopeList *alternatives)
{
	const char *reason = NULL;
	int n_problems = 0;

	for (int i = 0; i < alternatives->n_items && alternatives->n_items > 1; i++)
	{
		const char *problem = scope_problem(&alternatives->items[i]);

		if (problem != NULL)
		{
			reason = problem;
			n_problems++;
		}
	}
	return n_problems < alternatives->n_items ? reason : NULL;
}

/*
 * The resource scopes of the claim that the issuer may grant, as they were written. The scope type splits a value's alternatives into scopes of their own; here
 * they have to stay together, since an invalid one spoils its whole scope (`date=2020,nonsense`).
 */
static char *
claim_grants(const char *claim, int levels, List **ignored)
{
	StringInfoData kept;
	const char *at = claim;

	initStringInfo(&kept);
	for (;;)
	{
		size_t len = strcspn(at, " ");
		ScopeList list;
		ScopeIgnored *bad;
		int n_bad;

		CHECK_FOR_INTERRUPTS();
		if (memchr(at, '/', len) != NULL)
		{
			scope_parse_claim(at, len, &list, &n_bad, &bad);
			if (n_bad == 0 && list.n_items > 0 && list.items[0].kind == SCOPE_KIND_RESOURCE &&
				(levels & (1 << list.items[0].level)))
			{
				const char *reason = spoiling_alternative(&list);

				if (reason != NULL)
					*ignored = ignore(*ignored, pnstrdup(at, len), reason);
				appendBinaryStringInfo(&kept, at, len);
				appendStringInfoChar(&kept, ' ');
			}
		}
		at += len;
		if (*at == '\0')
			break;
		at++;
	}
	return kept.data;
}

char *
session_scope_from_claim(const char *claim, bool malformed, int levels, char **grants,
						 List **ignored)
{
	static const char *const level_reasons[] = {"the issuer may not grant patient/",
												"the issuer may not grant user/",
												"the issuer may not grant system/"};
	ScopeList list;
	ScopeIgnored *bad = NULL;
	int n_bad = 0;
	int kept = 0;

	*ignored = NIL;
	*grants = pstrdup("");
	if (malformed)
	{
		*ignored = ignore(*ignored, "", "the scope claim is malformed");
		return pstrdup("");
	}
	scope_parse_claim(claim, strlen(claim), &list, &n_bad, &bad);
	for (int i = 0; i < n_bad; i++)
		*ignored = ignore(*ignored, bad[i].text ? bad[i].text : "", bad[i].reason);
	for (int i = 0; i < list.n_items; i++)
	{
		ScopeItem *item = &list.items[i];

		if (item->kind == SCOPE_KIND_RESOURCE)
		{
			const char *problem;

			if (!(levels & (1 << item->level)))
			{
				*ignored = ignore(*ignored, item->text, level_reasons[item->level]);
				continue;
			}
			problem = scope_problem(item);
			if (problem != NULL)
				*ignored = ignore(*ignored, item->text, problem);
		}
		list.items[kept++] = *item;
	}
	list.n_items = kept;
	/* one byte outside the alphabet has spoilt the claim as a whole */
	if (list.n_items > 0)
		*grants = claim_grants(claim, levels, ignored);
	return scope_list_text(&list);
}
