/*
 * src/session/check.c
 *		The rules about claims that make a JWT an access token for us (RFC 7519, 9068, 8725).
 *
 * One function a rule. Each says, when it refuses, which claim or option is to blame and how that is
 * mended; claim names, limits and the names of options are told, values are not, but to
 * diagnose(). Decides nothing about rows.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "session/preset.h"
#include "session/verify.h"

char *
session_join(int n, char *const *values)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < n; i++)
		appendStringInfo(&out, "%s%s", i == 0 ? "" : ", ", values[i][0] == '\0' ? "''" : values[i]);
	if (n == 0)
		appendStringInfoString(&out, "none");
	return out.data;
}

char *
session_claim_json(Jsonb *claims, const char *name)
{
	JsonbValue value;
	Jsonb *json;

	if (getKeyJsonValueFromContainer(&claims->root, name, (int) strlen(name), &value) == NULL)
		return NULL;
	json = JsonbValueToJsonb(&value);
	return JsonbToCString(NULL, &json->root, VARSIZE_ANY_EXHDR(json));
}

char *
session_duration(int64 usecs)
{
	static const struct
	{
		int64 usecs;
		const char *unit;
	} units[] = {{USECS_PER_HOUR, "h"}, {USECS_PER_MINUTE, "min"}, {USECS_PER_SEC, "s"}};
	StringInfoData out;

	initStringInfo(&out);
	if (usecs < 0)
		appendStringInfoChar(&out, '-');
	usecs = usecs < 0 ? -usecs : usecs;
	for (size_t i = 0; i < lengthof(units); i++)
	{
		if (usecs >= units[i].usecs)
			appendStringInfo(&out,
							 "%s" INT64_FORMAT " %s",
							 out.len > 1 ? " " : "",
							 usecs / units[i].usecs,
							 units[i].unit);
		usecs %= units[i].usecs;
	}
	if (out.len < 2)
		appendStringInfo(&out, "%s s", usecs == 0 ? "0" : "less than 1");
	return out.data;
}

static const char *
or_absent(const char *text)
{
	return text == NULL ? "absent" : text;
}

/* Is this time claim, alone, of the wrong type or out of range? */
static bool
is_bad_time(Jsonb *claims, const char *name)
{
	JsonbInState state = {0};
	JsonbValue key;
	JsonbValue value;
	JwtTimes times;

	if (getKeyJsonValueFromContainer(&claims->root, name, (int) strlen(name), &value) == NULL)
		return false;
	if (value.type != jbvNumeric)
		return true;
	key.type = jbvString;
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = (int) strlen(name);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	pushJsonbValue(&state, WJB_KEY, &key);
	pushJsonbValue(&state, WJB_VALUE, &value);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return jwt_times(JsonbValueToJsonb(state.result), &times) != JOSE_OK;
}

static void
check_times(SessionVerification *v, SessionFinding *finding)
{
	static const char *const names[] = {"exp", "nbf", "iat"};
	JoseStatus status = jwt_times(v->claims, &v->times);

	v->has_times = status == JOSE_OK;
	if (v->tell)
	{
		finding->expected = "exp, nbf, iat: seconds since 1970, as JSON numbers";
		finding->found = psprintf("exp: %s, nbf: %s, iat: %s",
								  or_absent(session_claim_json(v->claims, "exp")),
								  or_absent(session_claim_json(v->claims, "nbf")),
								  or_absent(session_claim_json(v->claims, "iat")));
	}
	if (v->has_times)
		return;
	session_refused(finding, status, NULL, NULL);
	for (size_t i = 0; i < lengthof(names) && JB_ROOT_IS_OBJECT(v->claims); i++)
	{
		if (is_bad_time(v->claims, names[i]))
		{
			finding->detail = psprintf(
				"The token's %s is no number of seconds since 1970, or out of range.", names[i]);
			return;
		}
	}
}

static void
check_object(SessionVerification *v, SessionFinding *finding)
{
	if (!JB_ROOT_IS_OBJECT(v->claims))
		session_refused(finding, JOSE_MALFORMED, "The claims are no JSON object.", NULL);
}

static void
check_iss(SessionVerification *v, SessionFinding *finding)
{
	if (v->tell)
	{
		finding->expected = v->issuer->issuer;
		finding->found = or_absent(session_claim_json(v->claims, "iss"));
	}
	/* whom assume() names need not stand in the claims */
	if (v->assumed && !session_claim_exists(v->claims, "iss"))
		return;
	if (!jwt_issuer_fits(v->claims, v->issuer->issuer))
		session_refused(finding, JOSE_ISSUER, "The token's iss is not the issuer's name.", NULL);
}

/*
 * The token is for this server: with an audience aud names one of it; without one there is no
 * aud, or it names one of base_urls (RFC 7519 4.1.3).
 */
static void
check_audience(SessionVerification *v, SessionFinding *finding)
{
	const IssuerTexts *accepted =
		v->issuer->audience.null ? &v->issuer->base_urls : &v->issuer->audience;
	const char *option = v->issuer->audience.null ? "base_urls" : "audience";

	if (v->tell)
	{
		finding->expected = psprintf("%s%s: %s",
									 v->issuer->audience.null ? "no aud, or one of " : "one of ",
									 option,
									 session_join(accepted->n, accepted->values));
		finding->found = or_absent(session_claim_json(v->claims, "aud"));
	}
	if (!session_claim_exists(v->claims, "aud"))
	{
		if (!v->issuer->audience.null && !v->assumed)
			session_refused(
				finding,
				JOSE_AUDIENCE,
				"The token has no aud.",
				"Where the issuer sends none, register it without audience, and with client_ids.");
		return;
	}
	if (jwt_audience_fits(v->claims, accepted->n, accepted->values))
		return;
	session_refused(
		finding,
		JOSE_AUDIENCE,
		accepted->n == 0
			? psprintf("The token's aud does not name this server; the issuer has no %s.", option)
			: "The token's aud does not name this server; a trailing slash counts.",
		psprintf("smart.add_issuer(%s => ...) names what aud may hold, byte for byte.", option));
}

static void
check_expiration(SessionVerification *v, SessionFinding *finding)
{
	if (v->tell)
	{
		finding->expected = psprintf("exp, later than %s, leeway %s",
									 pstrdup(timestamptz_to_str(v->now)),
									 session_duration(v->issuer->leeway_usecs));
		finding->found = v->times.has_exp ? pstrdup(timestamptz_to_str(v->times.exp)) : "absent";
	}
	/* a token without exp would never end */
	if (!v->times.has_exp && !v->assumed)
		session_refused(finding,
						JOSE_EXPIRED,
						"The token has no exp.",
						"A token that never ends is not accepted; have its issuer give it one.");
	else if (jwt_is_expired(&v->times, v->now, v->issuer->leeway_usecs))
		session_refused(
			finding,
			JOSE_EXPIRED,
			psprintf("The token has expired: exp was %s ago, leeway %s.",
					 session_duration((v->now - v->times.exp) / USECS_PER_SEC * USECS_PER_SEC),
					 session_duration(v->issuer->leeway_usecs)),
			"Get a new token; if it is new, compare the clocks.");
}

/* nbf and iat have come. */
static void
check_early(SessionVerification *v, SessionFinding *finding)
{
	const JwtTimes *times = &v->times;
	bool nbf = jwt_is_early(times, v->now, v->issuer->leeway_usecs);
	bool iat = !v->assumed && times->has_iat && times->iat > v->now + v->issuer->leeway_usecs;

	if (v->tell)
	{
		finding->expected = psprintf("nbf and iat not later than %s, leeway %s",
									 pstrdup(timestamptz_to_str(v->now)),
									 session_duration(v->issuer->leeway_usecs));
		finding->found =
			psprintf("nbf: %s, iat: %s",
					 times->has_nbf ? pstrdup(timestamptz_to_str(times->nbf)) : "absent",
					 times->has_iat ? pstrdup(timestamptz_to_str(times->iat)) : "absent");
	}
	if (nbf || iat)
		session_refused(finding,
						JOSE_NOT_YET_VALID,
						psprintf("The token is not valid yet: %s is %s ahead, leeway %s.",
								 nbf ? "nbf" : "iat",
								 session_duration(((nbf ? times->nbf : times->iat) - v->now) /
												  USECS_PER_SEC * USECS_PER_SEC),
								 session_duration(v->issuer->leeway_usecs)),
						"Compare the clocks of this server and the issuer.");
}

static void
check_lifetime(SessionVerification *v, SessionFinding *finding)
{
	const JwtTimes *times = &v->times;
	const char *limit = session_duration(v->issuer->max_age_usecs);
	/* without iat, what is left of the lifetime must not exceed the limit */
	int64 age = times->has_exp ? times->exp - (times->has_iat ? times->iat : v->now) : 0;
	const char *what = times->has_iat ? "exp - iat" : "exp, without iat, less the present time";

	if (v->tell)
	{
		finding->expected = psprintf("exp - iat at most %s (max_token_age)", limit);
		finding->found =
			times->has_exp ? psprintf("%s: %s", what, session_duration(age)) : "no exp";
	}
	if (!times->has_exp)
		return;
	if ((times->has_iat && times->iat > times->exp) || (times->has_nbf && times->nbf > times->exp))
		session_refused(finding,
						JOSE_LIFETIME,
						psprintf("The token's %s is later than its exp.",
								 times->has_iat && times->iat > times->exp ? "iat" : "nbf"),
						NULL);
	else if (age > v->issuer->max_age_usecs)
		session_refused(
			finding,
			JOSE_LIFETIME,
			psprintf("%s is %s, max_token_age %s.", what, session_duration(age), limit),
			"Have the issuer give shorter tokens, or allow more: smart.add_issuer(max_token_age => "
			"...).");
}

static void
check_confirmation(SessionVerification *v, SessionFinding *finding)
{
	if (v->tell)
	{
		finding->expected = "no cnf";
		finding->found = or_absent(session_claim_json(v->claims, "cnf"));
	}
	if (session_claim_exists(v->claims, "cnf"))
		session_refused(finding,
						JOSE_CONFIRMATION,
						NULL,
						"Tokens with the claim cnf (DPoP, mutual TLS) are not supported; have the "
						"issuer give this client bearer tokens.");
}

/* An introspection response (RFC 7662): only JSON true is active. */
static void
check_active(SessionVerification *v, SessionFinding *finding)
{
	if (session_claim_exists(v->claims, "active") && !session_claim_is_true(v->claims, "active"))
		session_refused(
			finding, JOSE_REVOKED, "The introspection response's active is not true.", NULL);
}

/* Patients that the claims name must agree (CX-5). */
static void
check_context(SessionVerification *v, SessionFinding *finding)
{
	JoseStatus status = session_claims_read(v->issuer, v->claims, &v->read);

	v->has_read = status == JOSE_OK;
	if (v->tell)
	{
		finding->expected = "claims about patients that agree";
		finding->found = status == JOSE_OK
							 ? psprintf(ngettext("%d patient", "%d patients", v->read.n_patients),
										v->read.n_patients)
							 : "they differ";
	}
	if (status != JOSE_OK)
		session_refused(finding,
						status,
						v->read.problem,
						"claim_map says which claims name the patient; patient_references whether "
						"Patient/1 is read.");
}

/* Present, and where it is an identifier a string that says something. */
static bool
required_claim_present(Jsonb *claims, const SessionClaims *read, const char *name)
{
	const char *value;

	if (strcmp(name, "client_id") == 0)
		value = read->client_id;
	else if (strcmp(name, "fhirUser") == 0)
		value = read->fhir_user;
	else if (strcmp(name, "encounter") == 0)
		value = read->encounter;
	else if (strcmp(name, "patient") == 0)
		return read->n_patients > 0;
	else if (strcmp(name, "scope") == 0)
		return read->scope[0] != '\0' || session_claim_exists(claims, name);
	else if (strcmp(name, "sub") == 0 || strcmp(name, "jti") == 0)
		value = session_claim_string(claims, name);
	else
		return session_claim_exists(claims, name);
	return value != NULL && value[0] != '\0';
}

static void
check_required(SessionVerification *v, SessionFinding *finding)
{
	const IssuerTexts *required = &v->issuer->required_claims;
	char **missing = palloc(sizeof(char *) * Max(required->n, 1));
	StringInfoData quoted;
	char *presets;
	int n = 0;

	for (int i = 0; i < required->n; i++)
		if (!required_claim_present(v->claims, &v->read, required->values[i]))
			missing[n++] = required->values[i];
	if (v->tell)
	{
		finding->expected =
			psprintf("required_claims: %s", session_join(required->n, required->values));
		finding->found =
			n == 0 ? "all of them" : psprintf("without a usable %s", session_join(n, missing));
	}
	if (n == 0)
		return;
	initStringInfo(&quoted);
	for (int i = 0; i < n; i++)
		appendStringInfo(&quoted, "%s\"%s\"", i == 0 ? "" : ", ", missing[i]);
	presets = session_presets_without(n, missing);
	session_refused(
		finding,
		JOSE_REQUIRED_CLAIM,
		psprintf("The token lacks the required claim%s %s.", n == 1 ? "" : "s", quoted.data),
		psprintf("%s%s%smart.add_issuer(required_claims => ...) names what the issuer "
				 "sends.",
				 presets == NULL ? "" : "Presets that do not ask for it: ",
				 presets == NULL ? "" : presets,
				 presets == NULL ? "S" : "; s"));
}

static void
check_client(SessionVerification *v, SessionFinding *finding)
{
	const IssuerTexts *clients = &v->issuer->client_ids;
	const char *client = v->read.client_id;

	if (v->tell)
	{
		finding->expected =
			clients->null ? "any client"
						  : psprintf("client_ids: %s", session_join(clients->n, clients->values));
		finding->found = or_absent(client);
	}
	if (clients->null || (client == NULL && v->assumed))
		return;
	if (client == NULL)
		session_refused(
			finding,
			JOSE_CLIENT,
			"The token names no client, and the issuer has client_ids.",
			"claim_map => '{\"client_id\": [[...]]}' says which claim names the client.");
	else if (!issuer_texts_contain(clients, client, strlen(client)))
		session_refused(finding,
						JOSE_CLIENT,
						"The token's client is not one of the issuer's client_ids.",
						"smart.add_issuer(client_ids => ...) names the clients that are accepted.");
}

/* Claims with which a preset's issuer tells access tokens from its other tokens. */
static void
check_use(SessionVerification *v, SessionFinding *finding)
{
	static const struct
	{
		const char *preset;
		const char *claim;
	} uses[] = {{"cognito", "token_use"}, {"epic", "epic.tokentype"}};

	if (v->tell)
	{
		finding->expected = "an access token by the preset's own claim";
		finding->found = "the preset has no such claim";
	}
	for (size_t i = 0; i < lengthof(uses); i++)
	{
		const char *use;

		if (v->issuer->preset == NULL || strcmp(v->issuer->preset, uses[i].preset) != 0)
			continue;
		use = session_claim_string(v->claims, uses[i].claim);
		if (v->tell)
			finding->found = psprintf(
				"%s: %s", uses[i].claim, or_absent(session_claim_json(v->claims, uses[i].claim)));
		if (use == NULL || strcmp(use, "access") != 0)
			session_refused(finding,
							JOSE_TOKEN_TYPE,
							psprintf("The token's %s is not \"access\".", uses[i].claim),
							"Send the access token, not the ID token or a launch handle.");
	}
}

/*
 * An ID token must not pass as access token (RFC 8725 3.11, 3.12). A typ of at+jwt is proof
 * enough; else its tell-tales refuse it.
 */
static void
check_id_token(SessionVerification *v, SessionFinding *finding)
{
	static const char *const telltales[] = {"nonce", "at_hash", "c_hash"};
	const char *typ = v->jws.typ;
	const char *detail = NULL;

	for (size_t i = 0; i < lengthof(telltales) && detail == NULL; i++)
		if (session_claim_exists(v->claims, telltales[i]))
			detail = psprintf("The token has %s: it is an ID token.", telltales[i]);
	for (int i = 0; i < v->read.n_audience && detail == NULL; i++)
		if (v->read.client_id != NULL && strcmp(v->read.audience[i], v->read.client_id) == 0)
			detail = "The token's aud names its client: it is an ID token.";
	if (v->tell)
	{
		finding->expected =
			"typ at+jwt, or no nonce, at_hash, c_hash and no aud that is the client";
		finding->found = psprintf("typ: %s%s%s",
								  or_absent(typ),
								  detail == NULL ? "" : "; ",
								  detail == NULL ? "" : detail);
	}
	if (detail != NULL && (typ == NULL || (pg_strcasecmp(typ, "at+jwt") != 0 &&
										   pg_strcasecmp(typ, "application/at+jwt") != 0)))
		session_refused(
			finding, JOSE_TOKEN_TYPE, detail, "Send the access token, not the ID token.");
}

#define ALL_MODES (VERIFY_TOKEN | VERIFY_CLAIMS | VERIFY_AGAIN)
#define OF_TOKENS (VERIFY_TOKEN | VERIFY_AGAIN)

const SessionCheck session_claim_checks[] = {
	{"claims", VERIFY_CLAIMS, NEEDS_CLAIMS, check_object},
	{"times", ALL_MODES, NEEDS_CLAIMS, check_times},
	{"iss", ALL_MODES, NEEDS_CLAIMS | NEEDS_ISSUER, check_iss},
	{"audience", ALL_MODES, NEEDS_CLAIMS | NEEDS_ISSUER, check_audience},
	{"expiration", ALL_MODES, NEEDS_TIMES | NEEDS_ISSUER, check_expiration},
	{"not before", ALL_MODES, NEEDS_TIMES | NEEDS_ISSUER, check_early},
	{"lifetime", OF_TOKENS, NEEDS_TIMES | NEEDS_ISSUER, check_lifetime},
	{"confirmation", OF_TOKENS, NEEDS_CLAIMS, check_confirmation},
	{"active", VERIFY_CLAIMS, NEEDS_CLAIMS, check_active},
	{"context", ALL_MODES, NEEDS_CLAIMS | NEEDS_ISSUER, check_context},
	{"required claims", OF_TOKENS, NEEDS_READ | NEEDS_ISSUER, check_required},
	{"client", ALL_MODES, NEEDS_READ | NEEDS_ISSUER, check_client},
	{"token use", OF_TOKENS, NEEDS_READ | NEEDS_ISSUER, check_use},
	{"ID token", OF_TOKENS, NEEDS_READ, check_id_token},
};
const int session_n_claim_checks = lengthof(session_claim_checks);
