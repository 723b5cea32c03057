/*
 * src/audit/verify.c
 *		smart.verify_audit() and smart.audit_hash(): what an auditor asks of records.
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "fmgr.h"
#include "utils/builtins.h"

#include "compat.h"
#include "audit/identity.h"
#include "audit/log.h"

#define MAC_MEMBER ",\"mac\":\""

PG_FUNCTION_INFO_V1(smart_verify_audit);
PG_FUNCTION_INFO_V1(smart_audit_hash);

static void
require_key(void)
{
	if (!identity_load())
		ereport(
			ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("smart_fhir.key_file is not set"),
			errdetail("Without a key there are neither macs nor hashed identities."),
			errhint("Set it in postgresql.conf to a file that openssl rand -base64 32 made, and "
					"reload."),
			err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
			err_generic_string(PG_DIAG_CONSTRAINT_NAME, "audit_key_missing"));
}

/* Where the record begins: behind our mark, else at the first brace. NULL: there is none, or a forged one. */
static char *
find_record(char *line)
{
	char *mark = NULL;

	for (char *at = strstr(line, AUDIT_MARK "{"); at != NULL; at = strstr(at + 1, AUDIT_MARK "{"))
		mark = at;
	if (mark == NULL)
		return strchr(line, '{');
	if (mark - line >= 7 && memcmp(mark - 7, "forged ", 7) == 0)
		return NULL;
	return mark + strlen(AUDIT_MARK);
}

static bool
is_ours(char *line)
{
	char *text = find_record(line);
	size_t tail = strlen(MAC_MEMBER) + IDENTITY_MAC_HEX + 2;
	char mac[IDENTITY_MAC_HEX + 1];
	char *member;
	size_t len;

	if (text == NULL)
		return false;
	len = strlen(text);
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		len--;
	if (len <= tail)
		return false;
	member = text + len - tail;
	if (memcmp(member, MAC_MEMBER, strlen(MAC_MEMBER)) != 0 ||
		memcmp(text + len - 2, "\"}", 2) != 0)
		return false;
	/* as it was before its mac came in */
	*member = '}';
	if (!identity_mac(text, member + 1 - text, mac))
		return false;
	return CRYPTO_memcmp(mac, member + strlen(MAC_MEMBER), IDENTITY_MAC_HEX) == 0;
}

/* smart.verify_audit(line text) -> boolean */
Datum
smart_verify_audit(PG_FUNCTION_ARGS)
{
	require_key();
	PG_RETURN_BOOL(is_ours(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/* smart.audit_hash(kind text, value text) -> text */
Datum
smart_audit_hash(PG_FUNCTION_ARGS)
{
	text *value = PG_GETARG_TEXT_PP(1);
	char hash[IDENTITY_HASH_HEX + 1];
	IdentityKind kind;

	if (!identity_kind(text_to_cstring(PG_GETARG_TEXT_PP(0)), &kind))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid value for parameter \"%s\"", "kind"),
				errhint("Valid values are subject, fhir_user, patient, encounter and jti."),
				err_generic_string(PG_DIAG_SCHEMA_NAME, "smart"),
				err_generic_string(PG_DIAG_CONSTRAINT_NAME, "invalid_parameter"));
	require_key();
	if (!identity_hash(kind, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), hash))
		ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a hash"));
	PG_RETURN_TEXT_P(cstring_to_text(hash));
}
