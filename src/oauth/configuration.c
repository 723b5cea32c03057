/*
 * src/oauth/configuration.c
 *		What smart.configure_server() set.
 *
 * Kept parsed until another session, or this one, changes the row.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "compat.h"
#include "oauth/configuration.h"
#include "oauth/json.h"
#include "oauth/scope.h"
#include "oauth/store.h"

static MemoryContext configuration_context = NULL;
static OauthConfiguration *configuration = NULL;
static uint64 configuration_epoch;

/* In CurrentMemoryContext. */
static OauthConfiguration *
parse(Jsonb *options)
{
	OauthConfiguration *c = palloc0(sizeof(OauthConfiguration));

	c->options = options;
	c->issuer = json_text(options, "issuer");
	c->fhir_base_urls = json_texts(options, "fhir_base_urls");
	c->name = json_text(options, "name");
	c->authorization_endpoint = json_text(options, "authorization_endpoint");
	c->token_endpoint = json_text(options, "token_endpoint");
	c->introspection_endpoint = json_text(options, "introspection_endpoint");
	c->revocation_endpoint = json_text(options, "revocation_endpoint");
	c->jwks_uri = json_text(options, "jwks_uri");
	c->registration_endpoint = json_text(options, "registration_endpoint");
	c->management_endpoint = json_text(options, "management_endpoint");
	c->userinfo_endpoint = json_text(options, "userinfo_endpoint");
	c->device_verification_uri = json_text(options, "device_verification_uri");
	c->device_authorization_endpoint = json_text(options, "device_authorization_endpoint");
	c->scopes_supported_text = json_text(options, "scopes_supported");
	scope_read(c->scopes_supported_text, &c->scopes_supported);
	c->registration_scopes_text = json_text(options, "registration_scopes");
	scope_read(c->registration_scopes_text, &c->registration_scopes);
	c->user_patients = json_text(options, "user_patients");
	c->user_sees_all = json_is_true(options, "user_sees_all");
	c->code_lifetime = (int) json_int(options, "code_lifetime", 0);
	c->launch_lifetime = (int) json_int(options, "launch_lifetime", 0);
	c->device_lifetime = (int) json_int(options, "device_lifetime", 0);
	c->access_token_lifetime = (int) json_int(options, "access_token_lifetime", 0);
	c->id_token_lifetime = (int) json_int(options, "id_token_lifetime", 0);
	c->offline_lifetime = json_int(options, "offline_lifetime", 0);
	c->offline_max_lifetime = json_int(options, "offline_max_lifetime", 0);
	c->online_lifetime = json_int(options, "online_lifetime", 0);
	c->public_offline_access = json_is_true(options, "public_offline_access");
	c->registration = json_text(options, "registration");
	c->encounter_picker = json_is_true(options, "encounter_picker");
	c->authorize_post = json_is_true(options, "authorize_post");
	return c;
}

const OauthConfiguration *
configuration_get(void)
{
	uint64 epoch = store_epoch();
	StoreRow *row;
	MemoryContext context;
	MemoryContext old;
	OauthConfiguration *fresh;

	if (configuration != NULL && configuration_epoch == epoch)
		return configuration;
	row = store_find(STORE_CONFIGURATION_ALL, 0);
	if (row == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("the authorization server is not configured"),
				errhint("Run smart.configure_server()."));
	context = AllocSetContextCreate(
		CurrentMemoryContext, "smart_fhir configuration", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	fresh = parse((Jsonb *) DatumGetJsonbPCopy(row->values[CONFIGURATION_OPTIONS]));
	MemoryContextSwitchTo(old);
	/* somebody up the stack may still hold what was there */
	if (configuration_context != NULL)
		MemoryContextSetParent(configuration_context, TopTransactionContext);
	MemoryContextSetParent(context, CacheMemoryContext);
	configuration_context = context;
	configuration = fresh;
	configuration_epoch = epoch;
	return configuration;
}

bool
configuration_is_base(const OauthConfiguration *c, const char *url)
{
	ListCell *cell;

	foreach(cell, c->fhir_base_urls)
		if (strcmp(lfirst(cell), url) == 0)
			return true;
	return false;
}
