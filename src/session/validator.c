/*
 * src/session/validator.c
 *		May who has this token connect? The OAuth validator of PostgreSQL 18 and later (pg_hba.conf: oauth validator=smart_fhir).
 *
 * Runs before the backend has a database, so issuers come from the file of smart_fhir.oauth_keys; the rules are those of
 * smart.login(). What it says is that the token is good and of which client it is: which role that may be is pg_ident.conf's. A
 * token that is accepted is verified again, by the database's own issuers, when the first statement comes.
 *
 * Whoever is refused learns nothing: what an ERROR says would reach a client that is nobody yet. The reason is for the
 * server's log, without the token.
 */
#include "postgres.h"

#include "compat.h"
#include "session/validator.h"

#ifndef COMPAT_HAS_OAUTH

void
validator_init(void)
{
}

#else

/* whose headers are not everywhere; a Port is laid out the same without (libpq-be.h) */
#undef ENABLE_GSS
#include "libpq/libpq-be.h"
#include "libpq/oauth.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "session/connection.h"
#include "session/oauth_keys.h"
#include "session/verify.h"

PGDLLEXPORT const OAuthValidatorCallbacks *_PG_oauth_validator_module_init(void);

#define CLIENT_ID_MAX_BYTES 255

/* What lookup() searches, while a token is looked at. */
static Jsonb *keys_file = NULL;
/* Of the line of pg_hba.conf. */
static const char *wanted_issuer = NULL;

void
validator_init(void)
{
	oauth_keys_init();
}

/* The issuer of the line of pg_hba.conf, however it is written there: a discovery document's address names it too. */
static bool
is_wanted_issuer(const char *name)
{
	static const char *const documents[] = {"/.well-known/openid-configuration",
											"/.well-known/oauth-authorization-server"};
	size_t len = strlen(name);

	if (wanted_issuer == NULL)
		return false;
	if (strcmp(name, wanted_issuer) == 0)
		return true;
	for (size_t i = 0; i < lengthof(documents); i++)
		if (strncmp(wanted_issuer, name, len) == 0 &&
			strcmp(wanted_issuer + len, documents[i]) == 0)
			return true;
	return false;
}

static const Issuer *
lookup(const char *name)
{
	return is_wanted_issuer(name) ? oauth_keys_find(keys_file, MyProcPort->database_name, name)
								  : NULL;
}

/* It is written to the log, and compared with pg_ident.conf. */
static bool
is_name(const char *client_id)
{
	size_t len = client_id == NULL ? 0 : strlen(client_id);

	for (size_t i = 0; i < len; i++)
		if (client_id[i] < 0x20 || client_id[i] > 0x7E)
			return false;
	return len > 0 && len <= CLIENT_ID_MAX_BYTES;
}

/* The client whose token this is, palloc'd; NULL and *reason: it is not accepted. */
static char *
client_of(const char *token, const char **reason)
{
	SessionFinding finding = {0};
	char *client_id = NULL;

	if (MyProcPort->hba->oauth_skip_usermap)
	{
		*reason =
			"with delegate_ident_mapping any client could be any role: use a map of pg_ident.conf";
		return NULL;
	}
	if (MyProcPort->database_name == NULL || *MyProcPort->database_name == '\0')
	{
		*reason = "there is no database whose issuers would count";
		return NULL;
	}
	if (!oauth_keys_read(&keys_file, reason))
		return NULL;
	wanted_issuer = MyProcPort->hba->oauth_issuer;
	if (!session_verify_elsewhere(token, strlen(token), lookup, &client_id, &finding))
	{
		*reason =
			psprintf("%s: %s",
					 jose_status_code(finding.status),
					 finding.detail != NULL ? finding.detail : jose_status_detail(finding.status));
		return NULL;
	}
	if (!is_name(client_id))
	{
		*reason = "the token has no client_id that can be a name";
		return NULL;
	}
	return client_id;
}

static bool
validate(const ValidatorModuleState *state, const char *token, const char *role,
		 ValidatorModuleResult *result)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext work =
		AllocSetContextCreate(caller, "smart_fhir validator", ALLOCSET_DEFAULT_SIZES);
	int encoding = GetDatabaseEncoding();
	const char *volatile reason = NULL;
	char *volatile client_id = NULL;

	result->authorized = false;
	result->authn_id = NULL;
	/* JSON is UTF-8, and the encoding of the database is not known yet */
	SetDatabaseEncoding(PG_UTF8);
	MemoryContextSwitchTo(work);
	PG_TRY();
	{
		const char *why = NULL;

		client_id = client_of(token, &why);
		reason = why;
	}
	PG_CATCH();
	{
		/* its text may quote the token */
		MemoryContextSwitchTo(work);
		reason = psprintf("an error, SQLSTATE %s", unpack_sql_state(CopyErrorData()->sqlerrcode));
		FlushErrorState();
		client_id = NULL;
	}
	PG_END_TRY();
	SetDatabaseEncoding(encoding);
	MemoryContextSwitchTo(caller);
	keys_file = NULL;
	if (client_id != NULL)
	{
		result->authn_id = pstrdup(client_id);
		result->authorized = true;
		connection_keep_token(token);
	}
	else
		ereport(LOG_SERVER_ONLY,
				errmsg("an access token was not accepted for connecting"),
				errdetail_log("%s", reason));
	MemoryContextDelete(work);
	return true;
}

static const OAuthValidatorCallbacks callbacks = {
	.magic = PG_OAUTH_VALIDATOR_MAGIC,
	.validate_cb = validate,
};

const OAuthValidatorCallbacks *
_PG_oauth_validator_module_init(void)
{
	return &callbacks;
}

#endif /* COMPAT_HAS_OAUTH */
