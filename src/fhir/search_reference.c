/*
 * src/fhir/search_reference.c
 *		Reference parameters: the reference as it stands, its version cut off.
 *
 * <base_url>/Type/id of the table's own base is Type/id; a bare id counts only where one
 * type is possible. A canonical or uri that stands there is text, and compared as such.
 */
#include "postgres.h"

#include "fhir/search.h"

bool
fhir_reference_compile(const FhirConstraint *constraint, FhirText raw, char *buffer,
					   FhirAlternative *alternative, const char **reason)
{
	const FhirTables *tables = constraint->tables;
	const FhirParam *param = constraint->param;
	bool has_text = false;

	if (!fhir_value_unescape(raw, buffer, &alternative->text))
	{
		*reason = "a backslash escapes nothing";
		return false;
	}
	alternative->is_reference = fhir_reference_parse(alternative->text, &alternative->reference);
	alternative->is_bare_id = fhir_id_is_valid(alternative->text.data, alternative->text.len);
	if (!alternative->is_bare_id)
		return true;

	if (param->target >= 0)
	{
		const FhirType *target = &tables->types[param->target];
		FhirReference *reference = &alternative->reference;
		char *whole = palloc(target->name_len + 1 + alternative->text.len);

		memcpy(whole, tables->strings + target->name, target->name_len);
		whole[target->name_len] = '/';
		memcpy(whole + target->name_len + 1, alternative->text.data, alternative->text.len);
		alternative->is_reference = true;
		reference->base = (FhirText){NULL, 0};
		reference->type = (FhirText){whole, target->name_len};
		reference->id = alternative->text;
		reference->whole = (FhirText){whole, target->name_len + 1 + alternative->text.len};
		return true;
	}
	for (int i = 0; i < param->n_paths; i++)
		has_text |= tables->paths[param->first_path + i].element != FHIR_ELEMENT_REFERENCE;
	if (!has_text)
		*reason = "an id without type, where several types are possible";
	return has_text;
}

/* Type and id of a reference within the table's own base; false for another server's. */
static bool
is_local(const FhirReference *reference, FhirText base_url)
{
	return reference->base.data == NULL ||
		   (base_url.data != NULL && fhir_text_equals(reference->base, base_url));
}

static bool
references_equal(const FhirReference *a, const FhirReference *b, FhirText base_url)
{
	if (!fhir_text_equals(a->id, b->id) || !fhir_text_equals(a->type, b->type))
		return false;
	if (is_local(a, base_url))
		return is_local(b, base_url);
	return !is_local(b, base_url) && fhir_text_equals(a->base, b->base);
}

/* The Reference's text or {resourceType, id}; false when it has neither. */
static bool
read_reference(const JsonbValue *value, FhirText *text, FhirReference *reference,
			   bool *is_reference)
{
	JsonbValue member;

	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		return false;
	if (fhir_find_literal(value->val.binary.data, "reference", &member))
	{
		if (member.type != jbvString)
			return false;
		*text = (FhirText){member.val.string.val, member.val.string.len};
		*is_reference = fhir_reference_parse(*text, reference);
		return true;
	}
	*is_reference = fhir_text_literal(value, "resourceType", &reference->type) &&
					fhir_text_literal(value, "id", &reference->id) &&
					fhir_id_is_valid(reference->id.data, reference->id.len);
	reference->base = (FhirText){NULL, 0};
	*text = (FhirText){NULL, 0};
	return *is_reference;
}

bool
fhir_reference_match(const JsonbValue *value, void *arg)
{
	const FhirMatch *match = arg;
	const FhirConstraint *constraint = match->constraint;
	FhirReference reference;
	FhirText text;
	bool is_reference;

	if (match->path->element != FHIR_ELEMENT_REFERENCE)
		return fhir_text_match(value, arg);
	if (!read_reference(value, &text, &reference, &is_reference))
		return false;
	if (match->path->resolve_is >= 0)
	{
		const FhirType *type = &constraint->tables->types[match->path->resolve_is];
		FhirText name = {constraint->tables->strings + type->name, type->name_len};

		if (!is_reference || !fhir_text_equals(reference.type, name))
			return false;
	}
	for (int i = 0; i < constraint->n; i++)
	{
		const FhirAlternative *wanted = &constraint->alternatives[i];

		if (wanted->is_reference != is_reference)
			continue;
		if (is_reference ? references_equal(&wanted->reference, &reference, match->res->base_url)
						 : !wanted->is_bare_id && fhir_text_equals(wanted->text, text))
			return true;
	}
	return false;
}
