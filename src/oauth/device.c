/*
 * src/oauth/device.c
 *		Device codes: made for a client at smart.device_authorization(), asked for at the token endpoint, answered by a person
 *		with smart.device_request() and smart.approve_device() (RFC 8628).
 *
 * A row of smart_internal.oauth_device_code waits for its person. An approval deletes it and makes the grant and a row of
 * smart_internal.oauth_code of it, in one transaction: from then on it is a code like any other. Knows nothing of how
 * codes are burnt.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "oauth/answer.h"
#include "oauth/approval.h"
#include "oauth/device.h"
#include "oauth/grant.h"
#include "oauth/guess.h"
#include "oauth/json.h"
#include "oauth/question.h"
#include "oauth/secret.h"

PG_FUNCTION_INFO_V1(smart_oauth_device_request);
PG_FUNCTION_INFO_V1(smart_oauth_approve_device);

/* RFC 8628 6.1: easy to read and to type, no vowels that make words; 34 bits. */
#define USER_CODE_LETTERS "BCDFGHJKLMNPQRSTVWXZ"
#define USER_CODE_LENGTH 8
/* What a device is told to wait between two polls, and how much sooner one may come: networks differ from call to call. */
#define POLL_INTERVAL_SECS 5
#define POLL_SLACK (1 * USECS_PER_SEC)
/* A device that slept is still told that its code has expired. */
#define EXPIRED_KEPT (1 * USECS_PER_HOUR)

bool
device_is_offered(void)
{
	return configuration_get()->device_verification_uri != NULL;
}

/* ---- user codes ---- */

static void
make_user_code(char *code)
{
	const int n = (int) strlen(USER_CODE_LETTERS);

	for (int i = 0; i < USER_CODE_LENGTH;)
	{
		unsigned char byte;

		secret_random(&byte, 1);
		/* all letters as likely */
		if (byte < 256 / n * n)
			code[i++] = USER_CODE_LETTERS[byte % n];
	}
	code[USER_CODE_LENGTH] = '\0';
}

static Datum
user_code_hash(const char *code)
{
	return PointerGetDatum(secret_hash(code, USER_CODE_LENGTH));
}

/* As make_user_code() makes it; case, hyphens and blanks do not count. False: it is none. */
static bool
read_user_code(const char *typed, char *code)
{
	int len = 0;

	for (; *typed != '\0'; typed++)
	{
		char c = (char) pg_toupper((unsigned char) *typed);

		if (c == '-' || c == ' ')
			continue;
		if (len == USER_CODE_LENGTH || strchr(USER_CODE_LETTERS, c) == NULL)
			return false;
		code[len++] = c;
	}
	code[len] = '\0';
	return len == USER_CODE_LENGTH;
}

/* ---- the device asks ---- */

Jsonb *
device_add(const AuthorizationRequest *request, const char *scope)
{
	const OauthConfiguration *c = request->configuration;
	StoreRow *row = store_row(STORE_DEVICE_CODE);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz expires_at = now + c->device_lifetime * USECS_PER_SEC;
	char *device_code = secret_make();
	char user_code[USER_CODE_LENGTH + 1];
	JsonObject body;

	do
		make_user_code(user_code);
	while (store_find(STORE_DEVICE_CODE_BY_USER_CODE, user_code_hash(user_code)) != NULL);

	store_set(
		row, DEVICE_CODE_HASH, PointerGetDatum(secret_hash(device_code, strlen(device_code))));
	store_set(row, DEVICE_CODE_USER_CODE, user_code_hash(user_code));
	store_set_text(row, DEVICE_CODE_CLIENT_ID, request->client->client_id);
	store_set_text(row, DEVICE_CODE_AUDIENCE, request->audience);
	store_set_text(row, DEVICE_CODE_SCOPE, scope);
	store_set(row, DEVICE_CODE_MADE_AT, TimestampTzGetDatum(now));
	store_set(row, DEVICE_CODE_EXPIRES_AT, TimestampTzGetDatum(expires_at));
	store_set(row, DEVICE_CODE_KEPT_UNTIL, TimestampTzGetDatum(expires_at + EXPIRED_KEPT));
	store_insert(row);
	store_clean_sometimes(STORE_DEVICE_CODE);

	json_begin(&body);
	json_add_text(&body, "device_code", device_code);
	json_add_text(
		&body,
		"user_code",
		psprintf("%.*s-%s", USER_CODE_LENGTH / 2, user_code, user_code + USER_CODE_LENGTH / 2));
	json_add_text(&body, "verification_uri", c->device_verification_uri);
	json_add_int(&body, "expires_in", c->device_lifetime);
	json_add_int(&body, "interval", POLL_INTERVAL_SECS);
	return json_end(&body);
}

/* ---- the device waits ---- */

bool
device_refuse_expired(Outcome *outcome)
{
	return outcome_refuse(outcome,
						  400,
						  "expired_token",
						  "the device code has expired",
						  "the device code has expired");
}

/* Said every few seconds: not worth a line in the log. */
static bool
wait_longer(const char *error, const char *description, Outcome *outcome)
{
	outcome->status = 400;
	outcome->error = error;
	outcome->description = description;
	return true;
}

bool
device_poll(const char *device_code, const OauthClient *client, Outcome *outcome)
{
	StoreRow *row = secret_has_shape(device_code)
						? store_find(STORE_DEVICE_CODE_BY_HASH,
									 PointerGetDatum(secret_hash(device_code, strlen(device_code))))
						: NULL;
	TimestampTz now = GetCurrentTimestamp();

	/* as a code is refused that is not known, or another client's */
	if (row == NULL || strcmp(store_text(row, DEVICE_CODE_CLIENT_ID), client->client_id) != 0 ||
		store_time(row, DEVICE_CODE_MADE_AT) <= client->ended_at)
		return false;
	if (!row->nulls[DEVICE_CODE_DENIED_AT])
	{
		(void) outcome_refuse(
			outcome, 400, "access_denied", "the person denied access", "the person denied access");
		return true;
	}
	if (now >= store_time(row, DEVICE_CODE_EXPIRES_AT))
	{
		(void) device_refuse_expired(outcome);
		return true;
	}
	if (!row->nulls[DEVICE_CODE_POLLED_AT] && now - store_time(row, DEVICE_CODE_POLLED_AT) <
												  POLL_INTERVAL_SECS * USECS_PER_SEC - POLL_SLACK)
		return wait_longer("slow_down", "wait longer between two requests", outcome);
	/* who has it locked polls too, or is the person: no reason to wait for either */
	if (store_try_lock(row))
	{
		store_set(row, DEVICE_CODE_POLLED_AT, TimestampTzGetDatum(now));
		store_update(row);
	}
	return wait_longer("authorization_pending", "nobody has answered yet", outcome);
}

/* ---- the person answers ---- */

static Jsonb *
answer_too_many(int wait)
{
	answer_log("device", "temporarily_unavailable", "too many user codes that are not known", NULL);
	return answer_json_header(429,
							  answer_error_body("temporarily_unavailable",
												"too many codes that are not known: wait a minute"),
							  "retry-after",
							  psprintf("%d", wait));
}

static Jsonb *
answer_unknown(void)
{
	answer_log("device", "invalid_request", "the user code is not known, or no longer", NULL);
	return answer_error(404, "invalid_request", "the code is not known, was used or has expired");
}

/* May this row still be answered? */
static bool
is_open(const StoreRow *row, const OauthClient *client)
{
	return client != NULL && client->enabled && client->may_device &&
		   row->nulls[DEVICE_CODE_DENIED_AT] &&
		   GetCurrentTimestamp() < store_time(row, DEVICE_CODE_EXPIRES_AT) &&
		   store_time(row, DEVICE_CODE_MADE_AT) > client->ended_at;
}

/* What the user code belongs to, and who asks; NULL: nothing, or nothing any more. */
static StoreRow *
find_open(const char *typed, const OauthClient **client)
{
	char code[USER_CODE_LENGTH + 1];
	StoreRow *row;

	if (!read_user_code(typed, code))
		return NULL;
	row = store_find(STORE_DEVICE_CODE_BY_USER_CODE, user_code_hash(code));
	if (row == NULL)
		return NULL;
	*client = client_find(store_text(row, DEVICE_CODE_CLIENT_ID));
	return is_open(row, *client) ? row : NULL;
}

/* The request again, with what client and server are now. */
static bool
read_again(const StoreRow *row, const OauthClient *client, AuthorizationRequest *request)
{
	if (authorization_read_device(client,
								  store_text(row, DEVICE_CODE_SCOPE),
								  store_text(row, DEVICE_CODE_AUDIENCE),
								  NULL,
								  request))
		return true;
	authorization_log(request);
	return false;
}

static Jsonb *
device_request(const char *user_code, const Jsonb *person)
{
	AuthorizationRequest request;
	const OauthClient *client;
	Known known;
	Question question;
	StoreRow *row;
	char *who;
	int wait;

	question_check_person(person);
	who = question_who(person);
	if (!guess_take(who, &wait))
		return answer_too_many(wait);
	row = device_is_offered() ? find_open(user_code, &client) : NULL;
	if (row == NULL)
		return answer_unknown();
	guess_give_back(who);
	if (!read_again(row, client, &request))
		return authorization_shown(request.error, request.description);
	question_read_person(person, request.audience, &known);
	question_make(&request, &known, &question);
	return answer_json(200, question_body(&request, &known, &question));
}

/* smart.device_request(user_code text, person jsonb DEFAULT NULL) -> jsonb */
Datum
smart_oauth_device_request(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		ereport(
			ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("user_code must not be null"));
	PG_RETURN_JSONB_P(device_request(text_to_cstring(PG_GETARG_TEXT_PP(0)),
									 PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1)));
}

/* From now on it is a code. */
static void
make_code(StoreRow *row, const char *grant_id)
{
	StoreRow *code = store_row(STORE_CODE);
	TimestampTz expires_at = store_time(row, DEVICE_CODE_EXPIRES_AT);

	store_set(code, CODE_HASH, PointerGetDatum(store_bytea(row, DEVICE_CODE_HASH)));
	store_set_text(code, CODE_GRANT_ID, grant_id);
	store_set_text(code, CODE_CLIENT_ID, store_text(row, DEVICE_CODE_CLIENT_ID));
	store_set(code, CODE_MADE_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
	store_set(code, CODE_EXPIRES_AT, TimestampTzGetDatum(expires_at));
	store_set(code, CODE_KEPT_UNTIL, TimestampTzGetDatum(expires_at + GRANT_CODE_KEPT));
	store_insert(code);
	store_delete(row);
}

/* Answered so; denial NULL: approved. */
static Jsonb *
answer_approval(const char *denial, bool by_person)
{
	JsonObject body;

	json_begin(&body);
	json_add_bool(&body, "approved", denial == NULL);
	if (denial != NULL && !by_person)
	{
		json_add_text(&body, "error", "access_denied");
		json_add_text(&body, "error_description", answer_clean(denial));
	}
	return answer_json(200, json_end(&body));
}

static Jsonb *
approve_device(const char *user_code, const Jsonb *approval_json)
{
	AuthorizationRequest request;
	const OauthClient *client;
	Approval approval;
	Settled settled;
	const char *denial = NULL;
	StoreRow *row;
	char *who;
	int wait;

	approval_read(approval_json, &approval);
	/* a denial may say who it is */
	who = approval.denied ? question_who(approval_json) : approval.person.sub;
	if (!guess_take(who, &wait))
		return answer_too_many(wait);
	row = device_is_offered() ? find_open(user_code, &client) : NULL;
	if (row == NULL || !store_lock(row))
		return answer_unknown();
	/* as it is after the wait */
	client = client_find(store_text(row, DEVICE_CODE_CLIENT_ID));
	if (!is_open(row, client))
		return answer_unknown();
	guess_give_back(who);
	if (!approval.denied && !read_again(row, client, &request))
		denial = request.description;
	else if (!approval.denied)
		denial = approval_settle(approval_json, &request, &approval, &settled);
	if (!approval.denied && denial == NULL)
		make_code(row, approval_add_grant(&request, &approval, &settled));
	else
	{
		store_set(row, DEVICE_CODE_DENIED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
		store_update(row);
		if (denial == NULL)
			denial = "";
	}
	return answer_approval(denial, approval.denied);
}

/* smart.approve_device(user_code text, approval jsonb) -> jsonb */
Datum
smart_oauth_approve_device(PG_FUNCTION_ARGS)
{
	Jsonb *answer;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("%s must not be null", PG_ARGISNULL(0) ? "user_code" : "approval"));
	if (!JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(1)))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid value for parameter \"%s\"", "approval"),
				errdetail("It must be a JSON object."));
	answer = approve_device(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_JSONB_P(1));
	store_clean_sometimes(STORE_CODE);
	grant_clean_sometimes();
	PG_RETURN_JSONB_P(answer);
}
