/*
 * src/oauth/client.c
 *		Registered clients.
 *
 * The row holds the registration; the events beside it say what happened to the client. They
 * are only added to, so that disabling a client waits for nobody who has its row locked. What was
 * read is kept until rows of clients change; ids that are not known are looked up each time, so that
 * nobody can drive clients out by guessing. Authentication is not here.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "oauth/client.h"
#include "oauth/configuration.h"
#include "oauth/json.h"
#include "oauth/scope.h"
#include "oauth/store.h"
#include "oauth/uri.h"

#define KEPT_CLIENTS 64

typedef struct KeptClient
{
	MemoryContext context; /* owns the client; NULL: the entry is free */
	OauthClient *client;
	uint64 last_use;
} KeptClient;

static KeptClient kept[KEPT_CLIENTS];
static uint64 kept_epoch;
static uint64 use_counter;

static ClientAuthMethod
auth_method(const char *name)
{
	if (name != NULL && strcmp(name, "client_secret_basic") == 0)
		return CLIENT_AUTH_SECRET_BASIC;
	if (name != NULL && strcmp(name, "client_secret_post") == 0)
		return CLIENT_AUTH_SECRET_POST;
	if (name != NULL && strcmp(name, "private_key_jwt") == 0)
		return CLIENT_AUTH_PRIVATE_KEY_JWT;
	return CLIENT_AUTH_NONE;
}

static void
read_metadata(OauthClient *client)
{
	Jsonb *metadata = client->metadata;
	char *text;
	JsonbValue value;

	client->auth_method = auth_method(json_text(metadata, "token_endpoint_auth_method"));
	client->scope_text = json_text(metadata, "scope");
	if (client->scope_text == NULL)
		client->scope_text = pstrdup("");
	scope_read(client->scope_text, &client->scope);
	client->redirect_uris = json_texts(metadata, "redirect_uris");
	text = json_text(metadata, "application_type");
	client->native = text != NULL && strcmp(text, "native") == 0;
	client->may_code = json_texts_have(metadata, "grant_types", "authorization_code");
	client->may_refresh = json_texts_have(metadata, "grant_types", "refresh_token");
	client->may_credentials = json_texts_have(metadata, "grant_types", "client_credentials");
	client->may_device = json_texts_have(metadata, "grant_types", CLIENT_GRANT_DEVICE);
	text = json_text(metadata, "introspection");
	client->sees_any_token = text != NULL && strcmp(text, "any") == 0;
	if (json_find(metadata, "offline_access", &value) && value.type == jbvBool)
		client->offline_access = value.val.boolean;
	else
		client->offline_access =
			client->auth_method != CLIENT_AUTH_NONE || configuration_get()->public_offline_access;
	text = json_text(metadata, "assertion_audience");
	client->issuer_is_audience = text != NULL && strcmp(text, "issuer") == 0;
	client->typ_optional = json_is_true(metadata, "assertion_typ_optional");
	client->id_token_alg = json_text(metadata, "id_token_signed_response_alg");
	if (client->id_token_alg == NULL)
		client->id_token_alg = pstrdup("RS256");
}

static void
read_events(OauthClient *client)
{
	StoreScan *scan =
		store_scan_begin(STORE_CLIENT_EVENT_BY_CLIENT, CStringGetTextDatum(client->client_id));
	StoreRow *row;

	client->enabled = true;
	while ((row = store_scan_next(scan)) != NULL)
	{
		char *event = store_text(row, CLIENT_EVENT_EVENT);
		char *grant_id = store_text(row, CLIENT_EVENT_GRANT_ID);

		if (strcmp(event, "approved") == 0)
			client->approved = true;
		else if (strcmp(event, "enabled") == 0)
			client->enabled = true;
		else
		{
			if (strcmp(event, "disabled") == 0)
				client->enabled = false;
			client->ended_at = store_time(row, CLIENT_EVENT_AT);
			if (grant_id != NULL)
				client->grant_id = grant_id;
		}
	}
	store_scan_end(scan);
}

/* In CurrentMemoryContext; NULL when there is none. */
static OauthClient *
read_client(const char *client_id)
{
	StoreRow *row = store_find(STORE_CLIENT_BY_ID, CStringGetTextDatum(client_id));
	OauthClient *client;

	if (row == NULL)
		return NULL;
	client = palloc0(sizeof(OauthClient));
	client->client_id = store_text(row, CLIENT_CLIENT_ID);
	client->metadata = store_jsonb(row, CLIENT_METADATA);
	client->dynamic = store_bool(row, CLIENT_DYNAMIC);
	client->grant_id = store_text(row, CLIENT_GRANT_ID);
	client->changed_at = store_time(row, CLIENT_CHANGED_AT);
	client->expires_at =
		row->nulls[CLIENT_EXPIRES_AT] ? DT_NOEND : store_time(row, CLIENT_EXPIRES_AT);
	read_metadata(client);
	client->jwks_uri = json_text(client->metadata, "jwks_uri");
	client->jwks = client->jwks_uri != NULL ? store_jsonb(row, CLIENT_FETCHED_JWKS)
											: json_member(client->metadata, "jwks");
	read_events(client);
	return client;
}

/* Somebody up the stack may still hold the client. */
static void
drop_kept(KeptClient *entry)
{
	if (entry->context != NULL)
		MemoryContextSetParent(entry->context, TopTransactionContext);
	memset(entry, 0, sizeof(*entry));
}

static OauthClient *
find_kept(const char *client_id)
{
	for (int i = 0; i < KEPT_CLIENTS; i++)
		if (kept[i].context != NULL && strcmp(kept[i].client->client_id, client_id) == 0)
		{
			kept[i].last_use = ++use_counter;
			return kept[i].client;
		}
	return NULL;
}

/* Read it, and keep it if it is there. */
static OauthClient *
read_and_keep(const char *client_id)
{
	/* made in a context of the caller's: an error half way leaves nothing */
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "smart_fhir client", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	OauthClient *client = read_client(client_id);
	KeptClient *entry = &kept[0];

	MemoryContextSwitchTo(old);
	if (client == NULL)
	{
		MemoryContextDelete(context);
		return NULL;
	}
	for (int i = 1; i < KEPT_CLIENTS; i++)
		if (kept[i].last_use < entry->last_use)
			entry = &kept[i];
	drop_kept(entry);
	MemoryContextSetParent(context, CacheMemoryContext);
	entry->context = context;
	entry->client = client;
	entry->last_use = ++use_counter;
	return client;
}

const OauthClient *
client_find(const char *client_id)
{
	uint64 epoch = store_epoch();
	OauthClient *client;

	if (!client_id_is_valid(client_id))
		return NULL;
	if (kept_epoch != epoch)
	{
		for (int i = 0; i < KEPT_CLIENTS; i++)
			drop_kept(&kept[i]);
		kept_epoch = epoch;
	}
	client = find_kept(client_id);
	if (client == NULL)
		client = read_and_keep(client_id);
	/* a dynamic one that nobody approved in its time goes when somebody cleans up */
	return client == NULL || (!client->approved && client->expires_at <= GetCurrentTimestamp())
			   ? NULL
			   : client;
}

void
client_find_none(const char *client_id)
{
	if (client_id_is_valid(client_id))
		(void) store_find(STORE_CLIENT_BY_ID, CStringGetTextDatum(client_id));
}

bool
client_id_is_valid(const char *client_id)
{
	size_t len = strlen(client_id);

	if (len < 1 || len > CLIENT_ID_MAX_BYTES)
		return false;
	return strspn(client_id,
				  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-") == len;
}

bool
client_redirects_to(const OauthClient *client, const char *uri)
{
	ListCell *cell;

	foreach(cell, client->redirect_uris)
		if (strcmp(lfirst(cell), uri) == 0 ||
			(client->native && uri_same_but_loopback_port(lfirst(cell), uri)))
			return true;
	return false;
}

void
client_add_event(const char *client_id, const char *event, const char *grant_id)
{
	StoreRow *row = store_row(STORE_CLIENT_EVENT);

	store_set_text(row, CLIENT_EVENT_CLIENT_ID, client_id);
	store_set_text(row, CLIENT_EVENT_EVENT, event);
	store_set(row, CLIENT_EVENT_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
	store_set_text(row, CLIENT_EVENT_GRANT_ID, grant_id);
	store_insert(row);
}
