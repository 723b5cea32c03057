/*
 * src/oauth/authenticate.c
 *		Client authentication: none, client_secret_basic, client_secret_post, private_key_jwt.
 *
 * RFC 6749 2.3, RFC 7521 4.2, RFC 7523 3, OpenID Connect Core 9. A client that is not known, or
 * disabled, or registered for another method costs the same work as a wrong secret or
 * signature, and gets the same answer.
 */
#include "postgres.h"

#include "common/base64.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "oauth/assertion.h"
#include "oauth/authenticate.h"
#include "oauth/configuration.h"
#include "oauth/json.h"
#include "oauth/jti.h"
#include "oauth/request.h"
#include "oauth/secret.h"
#include "oauth/store.h"

#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define BASIC_MAX_BYTES 1024

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * RFC 6749 2.3.1 form-encodes both halves, SMART's example does not. Ids and secrets have
 * neither % nor +, so one reading serves both. NULL: bytes that no id or secret has.
 */
static char *
form_decode(const char *text)
{
	char *decoded = palloc(strlen(text) + 1);
	char *out = decoded;

	for (const char *p = text; *p != '\0'; p++)
	{
		char c = *p;

		if (c == '%')
		{
			int high = hex_digit(p[1]);
			int low = high < 0 ? -1 : hex_digit(p[2]);

			if (low < 0)
				return NULL;
			c = (char) (high * 16 + low);
			p += 2;
		}
		if (c <= 0x20 || c > 0x7E)
			return NULL;
		*out++ = c;
	}
	*out = '\0';
	return decoded;
}

static bool
read_basic(const char *value, ClientCredentials *credentials)
{
	char decoded[BASIC_MAX_BYTES + 1];
	size_t len;
	int n;
	char *colon;

	while (*value == ' ')
		value++;
	len = strlen(value);
	if (len > BASIC_MAX_BYTES)
		return false;
	n = compat_b64_decode(value, (int) len, decoded, BASIC_MAX_BYTES);
	if (n < 0 || memchr(decoded, '\0', (size_t) n) != NULL)
		return false;
	decoded[n] = '\0';
	colon = strchr(decoded, ':');
	if (colon == NULL)
		return false;
	*colon = '\0';
	credentials->client_id = form_decode(decoded);
	credentials->secret = form_decode(colon + 1);
	secret_wipe(decoded, sizeof(decoded));
	return credentials->client_id != NULL && credentials->secret != NULL;
}

static bool
refuse(const ClientCredentials *credentials, const char *reason, Outcome *outcome)
{
	outcome->failed_as = credentials->client_id == NULL ? "" : credentials->client_id;
	if (credentials->header_used)
		outcome->challenge = "Basic realm=\"smart\"";
	return outcome_refuse(outcome, 401, "invalid_client", "client authentication failed", reason);
}

bool
credentials_read(const Jsonb *request, const Jsonb *headers, ClientCredentials *credentials,
				 Outcome *outcome)
{
	char *header = request_header(headers, "authorization");
	char *id = request_parameter(request, "client_id");
	char *secret = request_parameter(request, "client_secret");
	char *assertion = request_parameter(request, "client_assertion");
	char *type = request_parameter(request, "client_assertion_type");
	bool asserts = assertion != NULL || type != NULL;

	memset(credentials, 0, sizeof(*credentials));
	credentials->client_id = id;
	credentials->header_used = header != NULL && *header != '\0';
	if (asserts)
	{
		/* RFC 7521 4.2: with another method invalid_client, not invalid_request */
		if (credentials->header_used || secret != NULL)
			return refuse(credentials, "an assertion and another method", outcome);
		if (assertion == NULL || type == NULL || strcmp(type, ASSERTION_TYPE) != 0)
			return refuse(credentials, "assertion or its type are missing or unknown", outcome);
		credentials->method = CLIENT_AUTH_PRIVATE_KEY_JWT;
		credentials->assertion = assertion;
		return true;
	}
	if (credentials->header_used)
	{
		if (secret != NULL)
			return outcome_refuse(outcome,
								  400,
								  "invalid_request",
								  "the client is authenticated in more than one way",
								  "Authorization and client_secret");
		if (pg_strncasecmp(header, "Basic ", 6) != 0 || !read_basic(header + 6, credentials))
			return refuse(credentials, "the Authorization header cannot be read", outcome);
		if (id != NULL && strcmp(id, credentials->client_id) != 0)
			return refuse(credentials, "client_id differs from the header's", outcome);
		credentials->method = CLIENT_AUTH_SECRET_BASIC;
		return true;
	}
	credentials->method = secret != NULL ? CLIENT_AUTH_SECRET_POST : CLIENT_AUTH_NONE;
	credentials->secret = secret;
	return true;
}

/* One of its secrets, each compared in constant time; without any, one that nothing fits. */
static bool
secret_fits(const char *client_id, const char *secret)
{
	static const char nothing[SECRET_HASH_BYTES] = {0};
	bytea *presented = secret_hash(secret, strlen(secret));
	TimestampTz now = GetCurrentTimestamp();
	bool fits = false;
	int n = 0;
	ListCell *cell;

	foreach(cell, store_find_all(STORE_CLIENT_SECRET_BY_CLIENT, CStringGetTextDatum(client_id)))
	{
		StoreRow *row = lfirst(cell);
		bool same = secret_hash_equal(presented, store_bytea(row, CLIENT_SECRET_HASH));

		n++;
		if (same && (row->nulls[CLIENT_SECRET_EXPIRES_AT] ||
					 store_time(row, CLIENT_SECRET_EXPIRES_AT) > now))
			fits = true;
	}
	if (n == 0)
		(void) secret_equal(VARDATA(presented), nothing, sizeof(nothing));
	return fits;
}

static uint32
assertion_algorithms(const OauthClient *client)
{
	char *name =
		client == NULL ? NULL : json_text(client->metadata, "token_endpoint_auth_signing_alg");

	return name == NULL ? JOSE_RS384 | JOSE_ES384 : jose_algorithm_by_name(name, strlen(name));
}

static const OauthClient *
by_assertion(const ClientCredentials *credentials, const char *endpoint, Outcome *outcome)
{
	const OauthConfiguration *c = configuration_get();
	ClientCredentials named = *credentials;
	const OauthClient *client;
	AssertionRules rules = {0};
	JwsToken token;
	Jsonb *claims;
	char *iss;
	char *sub;
	const char *jti;
	TimestampTz until;
	JoseStatus status = assertion_read(credentials->assertion, &token, &claims);
	bool usable;

	if (status != JOSE_OK)
	{
		(void) refuse(credentials, jose_status_detail(status), outcome);
		return NULL;
	}
	iss = json_text(claims, "iss");
	sub = json_text(claims, "sub");
	if (named.client_id == NULL)
		named.client_id = iss;
	client = iss == NULL ? NULL : client_find(iss);
	outcome->named = client == NULL ? NULL : client->client_id;
	usable =
		client != NULL && client->enabled && client->auth_method == CLIENT_AUTH_PRIVATE_KEY_JWT;
	rules.jwks = usable ? client->jwks : NULL;
	rules.jku = usable ? client->jwks_uri : NULL;
	rules.algorithms = assertion_algorithms(client);
	rules.typ_optional = usable && client->typ_optional;
	rules.audiences = list_make2(c->token_endpoint, unconstify(char *, endpoint));
	if (usable && client->issuer_is_audience)
		rules.audiences = lappend(rules.audiences, c->issuer);
	status = assertion_verify(&token, claims, &rules, &jti, &until);
	if (status != JOSE_OK)
	{
		if (client != NULL)
			client_find_none(iss);
		(void) refuse(&named,
					  usable ? jose_status_detail(status) : "no enabled client with this method",
					  outcome);
		return NULL;
	}
	if (iss == NULL || sub == NULL || strcmp(iss, sub) != 0 ||
		(credentials->client_id != NULL && strcmp(credentials->client_id, sub) != 0))
	{
		(void) refuse(&named, "iss, sub and client_id differ", outcome);
		return NULL;
	}
	if (!jti_burn("client", iss, jti, until))
	{
		(void) refuse(&named, "the assertion's jti was used before", outcome);
		return NULL;
	}
	return client;
}

const OauthClient *
authenticate(const ClientCredentials *credentials, const char *endpoint, Outcome *outcome)
{
	const OauthClient *client;
	bool fits;

	if (credentials->method == CLIENT_AUTH_PRIVATE_KEY_JWT)
		return by_assertion(credentials, endpoint, outcome);
	if (credentials->client_id == NULL)
	{
		(void) refuse(credentials, "no client_id", outcome);
		return NULL;
	}
	client = client_find(credentials->client_id);
	outcome->named = client == NULL ? NULL : client->client_id;
	fits = credentials->method == CLIENT_AUTH_NONE ||
		   secret_fits(credentials->client_id, credentials->secret);
	if (client == NULL || !client->enabled || client->auth_method != credentials->method || !fits)
	{
		if (client != NULL)
			client_find_none(credentials->client_id);
		(void) refuse(credentials,
					  client == NULL	 ? "the client is not known"
					  : !client->enabled ? "the client is disabled"
					  : !fits			 ? "the secret is wrong"
										 : "the client is registered for another method",
					  outcome);
		return NULL;
	}
	return client;
}
