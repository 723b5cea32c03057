/*
 * src/jose/json.h
 *		Strict check of a JSON text (RFC 8259) before jsonb sees it. Pure.
 */
#ifndef SMART_FHIR_JOSE_JSON_H
#define SMART_FHIR_JOSE_JSON_H

/* No text may nest deeper than this, whatever the caller asks for. */
#define JSON_DEPTH_CAP 256

/* What is checked beside the grammar. */
typedef struct JsonRules
{
	int max_depth;		 /* containers within each other; at most JSON_DEPTH_CAP */
	bool unique_members; /* no member twice in one object, names compared decoded */
	bool ascii_only;	 /* no character above 0x7F, escaped or not */
} JsonRules;

/* json_text_is_valid() of jose.h without its look at the database encoding. */
extern bool json_check(const char *text, size_t len, const JsonRules *rules);

#endif /* SMART_FHIR_JOSE_JSON_H */
