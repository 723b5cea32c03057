/*
 * src/session/verify.c
 *		Is this token, or are these claims, accepted under the issuer's rules?
 *
 * The order is that of smart-rules 5.1: no claim but iss is looked at before the signature
 * holds. Here are the rules about the token as a whole, its header, issuer and signature; those about
 * claims are in check.c. A check that fails says which rule it is and what mends it, without a
 * value of the token. Raises nothing but session_refuse().
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "session/stat.h"
#include "session/verify.h"

#define OPAQUE_HINT                                                                                \
	"A token that is no JWT cannot be verified here: have its server introspect it (RFC 7662), "   \
	"and pass the answer to smart.assume()."

#define FETCH_HINT "Call smart.request_keys() for its issuer in a new transaction, and try again."

static void
check_size(SessionVerification *v, SessionFinding *finding)
{
	if (v->tell)
	{
		finding->expected = psprintf("at most %d bytes", JOSE_MAX_TOKEN_BYTES);
		finding->found = psprintf(ngettext("%zu byte", "%zu bytes", v->len), v->len);
	}
	if (v->len > JOSE_MAX_TOKEN_BYTES)
		session_refused(finding, JOSE_TOO_LARGE, NULL, NULL);
}

static bool
begins_with(const SessionVerification *v, const char *word)
{
	return v->len >= strlen(word) && pg_strncasecmp(v->token, word, strlen(word)) == 0;
}

/* What people pass for a token. */
static void
explain_form(SessionVerification *v, SessionFinding *finding)
{
	int dots = 0;

	for (size_t i = 0; i < v->len; i++)
		dots += v->token[i] == '.';
	if (v->len == 0)
		finding->detail = "The token is empty.";
	else if (begins_with(v, "Bearer ") || begins_with(v, "Bearer\t") ||
			 begins_with(v, "Authorization:"))
	{
		finding->detail = begins_with(v, "Bearer") ? "The token begins with Bearer."
												   : "The token begins with Authorization.";
		finding->hint = "Pass what follows in the request's Authorization header alone.";
	}
	else if (begins_with(v, "DPoP "))
		finding->detail = "The token begins with DPoP: it is bound to a key of its holder and is "
						  "not a bearer token.";
	else if (strchr(" \t\r\n\"'", v->token[0]) != NULL ||
			 strchr(" \t\r\n\"'", v->token[v->len - 1]) != NULL)
	{
		finding->detail = "The token has white space or quotes around it.";
		finding->hint = "Pass the three parts alone, as they came.";
	}
	else if (dots == 4)
	{
		finding->detail = "The token has five parts: it is encrypted (JWE).";
		finding->hint = OPAQUE_HINT;
	}
	else if (dots != 2)
	{
		finding->detail = psprintf("The token has %d %s, not the three of a compact JWS.",
								   dots + 1,
								   dots == 0 ? "part" : "parts");
		finding->hint = OPAQUE_HINT;
	}
}

/* Three parts that can be decoded; the header's own rules are the next check's. */
static void
check_form(SessionVerification *v, SessionFinding *finding)
{
	if (v->len > JOSE_MAX_TOKEN_BYTES)
	{
		finding->asked = false;
		return;
	}
	v->decoded = jws_decode(v->token, v->len, &v->jws);
	if (v->tell)
	{
		finding->expected = "three base64url parts: header, payload, signature";
		finding->found = psprintf(ngettext("%zu byte", "%zu bytes", v->len), v->len);
	}
	if (v->decoded == JOSE_MALFORMED)
	{
		session_refused(finding, JOSE_MALFORMED, NULL, NULL);
		explain_form(v, finding);
		if (v->tell && finding->detail != NULL)
			finding->found = finding->detail;
	}
}

static bool
header_has(const SessionVerification *v, const char *name)
{
	JsonbValue value;

	return getKeyJsonValueFromContainer(&v->jws.header->root, name, (int) strlen(name), &value) !=
		   NULL;
}

/* jws_decode() was through with the form, and stopped at a rule of the header if at all. */
static void
check_header(SessionVerification *v, SessionFinding *finding)
{
	static const char *const extensions[] = {"crit", "b64"};

	if (v->tell)
	{
		finding->expected = "alg, typ and kid, no extension";
		finding->found =
			JsonbToCString(NULL, &v->jws.header->root, VARSIZE_ANY_EXHDR(v->jws.header));
	}
	if (v->decoded == JOSE_OK)
		return;
	session_refused(finding, v->decoded, NULL, NULL);
	for (size_t i = 0; i < lengthof(extensions); i++)
	{
		if (header_has(v, extensions[i]))
		{
			finding->detail =
				psprintf("The token's header has \"%s\", which is not supported.", extensions[i]);
			return;
		}
	}
	if (!header_has(v, "alg"))
		finding->detail = "The token's header has no alg.";
	else if (v->decoded == JOSE_ALGORITHM)
		session_refused(finding,
						JOSE_ALGORITHM,
						"The token's alg is none, or no algorithm that is supported.",
						"Supported are RS256 to RS512, PS256 to PS512, ES256 to ES512 and EdDSA, "
						"and HS256 to HS512 where the issuer's algorithms name it.");
}

static void
check_payload(SessionVerification *v, SessionFinding *finding)
{
	if (v->tell)
		finding->expected = "a JSON object without repeated members";
	if (v->decoded == JOSE_OK ? jwt_payload(&v->jws, &v->claims) != JOSE_OK
							  : jws_peek(v->token, v->len, NULL, &v->claims) != JOSE_OK)
	{
		v->claims = NULL;
		session_refused(
			finding,
			JOSE_MALFORMED,
			"The token's payload is no JSON object of at most 64 levels without repeated members.",
			NULL);
	}
	else if (v->tell)
		finding->found = JsonbToCString(NULL, &v->claims->root, VARSIZE_ANY_EXHDR(v->claims));
}

/* Is the issuer known under its name with, or without, a slash at the end? */
static const char *
slash_twin(const char *name)
{
	size_t len = strlen(name);
	char *twin = len > 0 && name[len - 1] == '/' ? pnstrdup(name, len - 1) : psprintf("%s/", name);

	return issuer_lookup(twin) != NULL ? twin : NULL;
}

static void
check_issuer(SessionVerification *v, SessionFinding *finding)
{
	const char *name =
		v->issuer_name != NULL ? v->issuer_name : session_claim_string(v->claims, "iss");

	if (v->tell)
	{
		finding->expected = "a row of smart.issuer";
		finding->found =
			v->issuer_name != NULL ? v->issuer_name : session_claim_json(v->claims, "iss");
	}
	v->issuer = name == NULL ? NULL : v->lookup != NULL ? v->lookup(name) : issuer_lookup(name);
	if (v->issuer != NULL)
		return;
	session_refused(finding, JOSE_UNKNOWN_ISSUER, NULL, NULL);
	if (name == NULL)
	{
		finding->detail = session_claim_exists(v->claims, "iss") ? "The token's iss is no string."
																 : "The token has no iss.";
		finding->hint = "A token that does not name its issuer cannot be verified here: have its "
						"server introspect it (RFC 7662), and pass the answer to smart.assume().";
		return;
	}
	if (v->lookup == NULL && slash_twin(name) != NULL)
	{
		finding->detail = "The token's issuer differs from a known one by a trailing slash.";
		finding->hint =
			"Pass the issuer to smart.add_issuer() as the tokens spell it, byte for byte.";
		return;
	}
	finding->hint =
		"smart.add_issuer() registers an issuer; smart.issuer lists those that are known.";
}

/* typ compares without case, with or without "application/" (RFC 7515 4.1.9). */
static const char *
without_application(const char *typ)
{
	return pg_strncasecmp(typ, "application/", 12) == 0 ? typ + 12 : typ;
}

static void
check_typ(SessionVerification *v, SessionFinding *finding)
{
	const IssuerTexts *types = &v->issuer->token_types;
	const char *typ = v->jws.typ;

	if (v->tell)
	{
		finding->expected = psprintf("token_types: %s", session_join(types->n, types->values));
		finding->found = typ == NULL ? "no typ" : typ;
	}
	for (int i = 0; i < types->n; i++)
	{
		if (types->values[i][0] == '\0'
				? typ == NULL
				: typ != NULL && pg_strcasecmp(without_application(types->values[i]),
											   without_application(typ)) == 0)
			return;
	}
	session_refused(finding,
					JOSE_TOKEN_TYPE,
					typ == NULL ? "The token's header has no typ."
								: "The token's header has a typ that is not one of the issuer's "
								  "token_types.",
					psprintf("Accepted are %s; smart.add_issuer(token_types => ...) says which, "
							 "'' accepts a token without typ.",
							 session_join(types->n, types->values)));
}

/* The table refuses such a row: with neither, any server's tokens would pass. */
static void
check_trust(SessionVerification *v, SessionFinding *finding)
{
	if (v->tell)
	{
		int n = v->issuer->keys == NULL ? 0 : jose_keyset_size(v->issuer->keys);

		finding->expected = "audience or client_ids, and keys that can be used";
		finding->found = psprintf(ngettext("%d usable key", "%d usable keys", n), n);
	}
	if (v->issuer->audience.null && v->issuer->client_ids.null)
		session_refused(finding,
						JOSE_AUDIENCE,
						"The issuer has neither an audience nor client_ids.",
						"Give it one with smart.add_issuer().");
	else if (v->issuer->keys == NULL)
		session_refused(finding,
						JOSE_KEY_NOT_FOUND,
						v->issuer->fetched ? "The issuer's keys have not been fetched yet."
										   : "The issuer's stored key set cannot be read.",
						v->issuer->fetched ? FETCH_HINT : "Replace it with smart.set_jwks().");
}

/* Keys that are fetched: too long ago, and they may have been taken back since. */
static void
check_fresh(SessionVerification *v, SessionFinding *finding)
{
	TimestampTz until = v->issuer->refuse_after;

	if (v->tell)
	{
		finding->expected = "keys that were fetched lately, or are not fetched at all";
		finding->found = until == DT_NOEND
							 ? "no limit"
							 : psprintf("good until %s", pstrdup(timestamptz_to_str(until)));
	}
	if (until != DT_NOEND && v->now >= until)
		session_refused(finding,
						JOSE_STALE_KEYS,
						NULL,
						"See that smart_fhir_keys runs and reaches the issuer; "
						"smart.issuer_key_state has the last error.");
}

static void
check_algorithm(SessionVerification *v, SessionFinding *finding)
{
	char *names[32];
	int n = 0;

	if ((v->jws.algorithm & v->issuer->algorithms) != 0 && !v->tell)
		return;
	for (uint32 bit = 1; bit <= JOSE_ALL; bit <<= 1)
		if (v->issuer->algorithms & bit)
			names[n++] = unconstify(char *, jose_algorithm_name(bit));
	if (v->tell)
	{
		finding->expected = psprintf("algorithms: %s", session_join(n, names));
		finding->found = jose_algorithm_name(v->jws.algorithm);
	}
	if ((v->jws.algorithm & v->issuer->algorithms) == 0)
		session_refused(finding,
						JOSE_ALGORITHM,
						"The token's alg is not one of the issuer's algorithms.",
						psprintf("Accepted are %s; smart.add_issuer(algorithms => ...) says which.",
								 session_join(n, names)));
}

/* One key must fit, and verify. */
static void
check_signature(SessionVerification *v, SessionFinding *finding)
{
	JoseStatus status;

	if (v->issuer->keys == NULL || (v->jws.algorithm & v->issuer->algorithms) == 0)
	{
		finding->asked = false;
		return;
	}
	status = jws_verify(&v->jws, v->issuer->keys, v->issuer->algorithms, &v->key);
	v->signed_by_key = status == JOSE_OK;
	if (v->tell)
	{
		finding->expected = "the signature of one key of the issuer, of the token's kid";
		finding->found =
			status == JOSE_OK
				? psprintf("signed by the key with thumbprint %s", jose_key_thumbprint(v->key))
				: psprintf("kid: %s", v->jws.kid == NULL ? "none" : v->jws.kid);
	}
	if (status == JOSE_KEY_NOT_FOUND)
		session_refused(finding,
						status,
						jws_key_problem(&v->jws, v->issuer->keys),
						v->issuer->fetched ? FETCH_HINT
										   : "smart.issuer_keys() lists the issuer's keys; "
											 "smart.set_jwks() replaces "
											 "them with what it publishes now.");
	else if (status != JOSE_OK)
		session_refused(finding, status, NULL, NULL);
}

static const SessionCheck token_checks[] = {
	{"size", VERIFY_TOKEN, 0, check_size},
	{"form", VERIFY_TOKEN, 0, check_form},
	{"header", VERIFY_TOKEN, NEEDS_HEADER, check_header},
	{"payload", VERIFY_TOKEN, NEEDS_HEADER, check_payload},
	{"issuer", VERIFY_TOKEN, NEEDS_CLAIMS, check_issuer},
	{"token type", VERIFY_TOKEN | VERIFY_AGAIN, NEEDS_HEADER | NEEDS_ISSUER, check_typ},
	{"trust", VERIFY_TOKEN, NEEDS_ISSUER, check_trust},
	{"fresh keys", VERIFY_TOKEN | VERIFY_AGAIN, NEEDS_ISSUER, check_fresh},
	{"algorithm", VERIFY_TOKEN | VERIFY_AGAIN, NEEDS_KEY | NEEDS_ISSUER, check_algorithm},
	{"signature", VERIFY_TOKEN, NEEDS_KEY | NEEDS_ISSUER, check_signature},
};

static bool
is_there(const SessionVerification *v, int needs)
{
	return (!(needs & NEEDS_HEADER) || v->jws.header != NULL || v->mode == VERIFY_AGAIN) &&
		   (!(needs & NEEDS_CLAIMS) || v->claims != NULL) &&
		   (!(needs & NEEDS_ISSUER) || v->issuer != NULL) &&
		   (!(needs & NEEDS_KEY) || v->jws.algorithm != 0) &&
		   (!(needs & NEEDS_TIMES) || v->has_times) && (!(needs & NEEDS_READ) || v->has_read);
}

/*
 * Ask one after the other. With a list all of them are asked, and each adds its finding; else the
 * first that fails ends it. False: one failed, or could not be asked.
 */
static bool
run(SessionVerification *v, const SessionCheck *checks, int n, SessionFinding *finding,
	List **findings)
{
	bool passed = true;

	for (int i = 0; i < n; i++)
	{
		if (!(checks[i].modes & v->mode))
			continue;
		memset(finding, 0, sizeof(*finding));
		finding->step = checks[i].step;
		finding->asked = is_there(v, checks[i].needs);
		if (finding->asked)
			checks[i].ask(v, finding);
		else
			finding->status = JOSE_MALFORMED; /* never a yes */
		if (findings != NULL)
		{
			SessionFinding *copy = palloc(sizeof(SessionFinding));

			*copy = *finding;
			*findings = lappend(*findings, copy);
		}
		if (finding->asked && finding->status == JOSE_OK)
			continue;
		passed = false;
		if (findings == NULL)
			break;
	}
	return passed;
}

static bool
run_all(SessionVerification *v, SessionFinding *finding, List **findings)
{
	bool passed = run(v, token_checks, lengthof(token_checks), finding, findings);

	if (!passed && findings == NULL)
		return false;
	return run(v, session_claim_checks, session_n_claim_checks, finding, findings) && passed;
}

static void
fill_source(const SessionVerification *v, SessionSource *source)
{
	source->issuer = v->issuer;
	source->claims = v->claims;
	source->times = v->times;
	source->typ = v->jws.typ;
	source->algorithm = v->jws.algorithm;
	source->key_thumbprint = v->key == NULL ? NULL : jose_key_thumbprint(v->key);
}

bool
session_verify_token(const char *token, size_t len, SessionSource *source, SessionFinding *finding)
{
	SessionVerification v = {0};

	v.mode = VERIFY_TOKEN;
	v.now = GetCurrentTimestamp();
	v.token = token;
	v.len = len;
	if (!run_all(&v, finding, NULL))
	{
		/* what may be said of a token that is refused */
		source->issuer = v.issuer;
		source->claims = v.signed_by_key ? v.claims : NULL;
		return false;
	}
	fill_source(&v, source);
	return true;
}

bool
session_verify_elsewhere(const char *token, size_t len, const Issuer *(*lookup)(const char *name),
						 char **client_id, SessionFinding *finding)
{
	SessionVerification v = {0};

	v.mode = VERIFY_TOKEN;
	v.now = GetCurrentTimestamp();
	v.token = token;
	v.len = len;
	v.lookup = lookup;
	if (!run_all(&v, finding, NULL))
		return false;
	*client_id = v.has_read ? v.read.client_id : NULL;
	return true;
}

bool
session_verify_claims(Jsonb *claims, const Issuer *issuer, SessionSource *source,
					  SessionFinding *finding)
{
	SessionVerification v = {0};

	v.mode = VERIFY_CLAIMS;
	v.assumed = true;
	v.now = GetCurrentTimestamp();
	v.claims = claims;
	v.issuer = issuer;
	source->issuer = issuer;
	source->claims = claims;
	if (!run_all(&v, finding, NULL))
		return false;
	fill_source(&v, source);
	return true;
}

bool
session_verify_again(const Session *session, const Issuer *issuer, SessionSource *source,
					 SessionFinding *finding)
{
	SessionVerification v = {0};

	/* what assume() let pass without being signed is asked no more than then */
	v.assumed = session->key_thumbprint == 0;
	v.mode = v.assumed ? VERIFY_CLAIMS : VERIFY_AGAIN;
	v.now = GetCurrentTimestamp();
	v.claims = (Jsonb *) ((const char *) session + session->claims);
	v.issuer = issuer;
	v.jws.typ = session_text(session, session->typ);
	v.jws.algorithm = session->algorithm;
	if (!run_all(&v, finding, NULL))
		return false;
	fill_source(&v, source);
	return true;
}

List *
session_verify_whole(const char *token, size_t len, const char *issuer_name, SessionVerification *v)
{
	List *findings = NIL;
	SessionFinding finding;

	memset(v, 0, sizeof(*v));
	v->mode = VERIFY_TOKEN;
	v->tell = true;
	v->now = GetCurrentTimestamp();
	v->token = token;
	v->len = len;
	v->issuer_name = issuer_name;
	(void) run_all(v, &finding, &findings);
	return findings;
}

void
session_refuse(const SessionFinding *finding)
{
	stat_count_refused(finding->status);
	jose_raise_detail(finding->status,
					  finding->detail != NULL ? finding->detail
											  : jose_status_detail(finding->status),
					  finding->hint);
}

void
session_refuse_for(JoseStatus status, const char *detail)
{
	SessionFinding finding = {.status = status, .detail = detail};

	session_refuse(&finding);
}
