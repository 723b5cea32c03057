-- The token endpoint: client authentication, codes with PKCE, refresh, backend services (smart-rules 7, 8.4, 8.5, 8.7).
\getenv srcdir PG_ABS_SRCDIR
\set prelude :srcdir '/data/oauth/tokens_prelude.sql'
\set cleanup :srcdir '/data/oauth/tokens_cleanup.sql'
\set ECHO none
\i :prelude
\set ECHO all
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on

-- CE-1, CE-9, CE-10, RG-2, SC-17: a public client's code. The scope as granted, numbers as numbers, context beside it, and the headers of BS-6.
SELECT ot.code('pub', 'openid fhirUser launch/patient patient/*.read offline_access',
  '{"nonce": "n1", "encounter": "e1", "auth_time": "2026-01-01T00:00:00Z", "context": {"intent": "i", "need_patient_banner": true, "tenant": "t", "fhirContext": [{"reference": "ImagingStudy/1"}]}}') AS code \gset
CALL ot.call('token', ot.exchange(:'code') || '{"client_id": "pub"}');
SELECT (ot.last()->'body') - '{access_token,id_token,refresh_token}'::text[] AS body, ot.last()->'headers' AS headers, ot.last()->'status' AS status;
-- RFC 9068: the access token's claims; ID-1: the ID token's, which is no access token.
SELECT smart.jwt_header(ot.access()) - 'kid' AS header, ot.claims(ot.access()) AS claims, smart.jwt_payload(ot.access()) ?& '{iat,exp,jti,grant_id}' AS rest;
SELECT smart.jwt_header(ot.last() #>> '{body,id_token}') - 'kid' AS header, ot.claims(ot.last() #>> '{body,id_token}') AS claims;
SELECT smart.jwt_verify(ot.access(), smart.server_jwks(), 'https://as.test', '{https://fhir.test/r4}', '{ES384}') IS NOT NULL AS access_token,
  smart.jwt_verify(ot.last() #>> '{body,id_token}', smart.server_jwks(), 'https://as.test', '{pub}', '{RS256}') IS NOT NULL AS id_token;
SELECT smart.login(ot.access(), false);
SELECT patient, scope, fhir_user, encounter FROM smart.session;
SELECT smart.login(ot.last() #>> '{body,id_token}', false);

-- CE-5: the second use is refused and ends what the first gave, at once.
SELECT smart.login(ot.access(), false);
SELECT ot.access() AS access, ot.last() #>> '{body,refresh_token}' AS refresh \gset
CALL ot.call('token', ot.exchange(:'code') || '{"client_id": "pub"}');
SELECT ot.short();
SELECT smart.login(:'access', false);
CALL ot.call('token', jsonb_build_object('grant_type', 'refresh_token', 'refresh_token', :'refresh'));
SELECT ot.short();

-- PK-3, PK-5, PK-7, OC-78, CE-8, OC-44: a verifier or redirect_uri that does not fit burns the code, whatever is wrong with it.
CREATE PROCEDURE ot.spoiled(change jsonb) LANGUAGE plpgsql AS $$
DECLARE
	code text := ot.code('pub', 'patient/*.rs');
	first text;
BEGIN
	COMMIT;
	CALL ot.call('token', ot.exchange(code) || '{"client_id": "pub"}' || change);
	first := ot.short();
	CALL ot.call('token', ot.exchange(code) || '{"client_id": "pub"}');
	RAISE INFO '% | % | then: %', change, first, ot.short();
END $$;
CALL ot.spoiled('{}');
CALL ot.spoiled('{"code_verifier": ""}');
CALL ot.spoiled('{"code_verifier": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}');
CALL ot.spoiled('{"code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjX"}');
CALL ot.spoiled('{"code_verifier": "dBjftJeZ4CVP+mB92K27uhbUJU1p1r/wW1gFWFOEjXk"}');
CALL ot.spoiled(jsonb_build_object('code_verifier', repeat('a', 129)));
CALL ot.spoiled('{"redirect_uri": "https://app.test/cb2"}');
CALL ot.spoiled('{"redirect_uri": "https://app.test/cb/"}');
CALL ot.spoiled('{"redirect_uri": ""}');
-- What is wrong with the client, or the request, burns nothing.
CALL ot.spoiled('{"client_id": "basic"}');
CALL ot.spoiled('{"client_id": "nobody"}');
CALL ot.spoiled('{"code": "smart_unknown"}');
CALL ot.spoiled('{"code_verifier": ["a", "b"]}');
CALL ot.spoiled('{"grant_type": "password"}');
-- CE-3: presented by another client it is neither burnt nor reuse, used or not.
SELECT ot.code('pub', 'patient/*.rs') AS code \gset
CALL ot.call('token', ot.exchange(:'code'), ot.basic('basic'));
SELECT ot.short();
CALL ot.call('token', ot.exchange(:'code') || '{"client_id": "pub"}');
SELECT ot.access() AS access \gset
CALL ot.call('token', ot.exchange(:'code'), ot.basic('basic'));
SELECT ot.short();
CALL ot.call('token', ot.exchange(:'code'));
SELECT ot.short();
SELECT smart.login(:'access', false);
-- CE-4: after its minute.
SELECT ot.code('pub', 'patient/*.rs', jsonb_build_object('code_expires_at', clock_timestamp() - interval '1 second')) AS code \gset
CALL ot.call('token', ot.exchange(:'code') || '{"client_id": "pub"}');
SELECT ot.short();
-- A registered redirect_uri that went ends its codes; a narrowed client gets what grant, client and server have in common.
SELECT ot.code('pub', 'patient/*.rs') AS code \gset
SELECT smart.update_client('pub', '{"redirect_uris": ["https://app.test/cb2"]}') IS NOT NULL;
CALL ot.call('token', ot.exchange(:'code') || '{"client_id": "pub"}');
SELECT ot.short();
SELECT smart.update_client('pub', '{"redirect_uris": ["https://app.test/cb"], "scope": "openid patient/Observation.r offline_access"}') IS NOT NULL;
SELECT ot.code('pub', 'patient/*.rs offline_access') AS code \gset
CALL ot.call('token', ot.exchange(:'code') || '{"client_id": "pub"}');
SELECT ot.short(), ot.last() #>> '{body,scope}';
SELECT ot.code('pub', 'patient/Patient.s launch/patient') AS code \gset
CALL ot.call('token', ot.exchange(:'code') || '{"client_id": "pub"}');
SELECT ot.short();
SELECT smart.update_client('pub', '{"scope": "openid fhirUser launch launch/patient offline_access online_access patient/*.rs user/*.rs"}') IS NOT NULL;

-- CE-2, RG-6: a confidential client by Basic, the pair as it is and form-encoded, the scheme in any case; by post.
CREATE PROCEDURE ot.as_client(client text, request jsonb, headers jsonb DEFAULT '{}') LANGUAGE plpgsql AS $$
DECLARE
	code text := ot.code(client, 'openid patient/*.rs');
BEGIN
	COMMIT;
	CALL ot.call('token', ot.exchange(code) || request, headers);
	RAISE INFO '%', ot.short();
END $$;
CALL ot.as_client('basic', '{}', ot.basic('basic'));
CALL ot.as_client('basic', '{"client_id": "basic"}', ot.basic('basic'));
CALL ot.as_client('basic', '{}', ot.basic('%62asic', replace(ot.secret('basic'), '_', '%5F')));
CALL ot.as_client('basic', '{}', jsonb_build_object('authorization', 'bASIC  ' || substr(ot.basic('basic')->>'authorization', 7)));
CALL ot.as_client('post', jsonb_build_object('client_id', 'post', 'client_secret', ot.secret('post')));
-- invalid_client is 401, with WWW-Authenticate only where the Authorization header was used.
CALL ot.as_client('basic', '{}', ot.basic('basic', 'wrong'));
CALL ot.as_client('basic', '{}', ot.basic('nobody', 'wrong'));
CALL ot.as_client('basic', '{"client_id": "post"}', ot.basic('basic'));
CALL ot.as_client('basic', '{"client_id": "basic"}');
CALL ot.as_client('basic', jsonb_build_object('client_id', 'basic', 'client_secret', ot.secret('basic')));
CALL ot.as_client('basic', '{}', '{"authorization": "Bearer x"}');
CALL ot.as_client('basic', '{}', '{"authorization": "Basic x"}');
CALL ot.as_client('basic', '{}');
CALL ot.as_client('pub', '{"client_id": "pub"}', ot.basic('basic'));
-- More than one method: invalid_request, with an assertion invalid_client (RFC 7521 4.2.1).
CALL ot.as_client('basic', '{"client_secret": "x"}', ot.basic('basic'));
CALL ot.as_client('jwt', ot.asserted(ot.assertion()), ot.basic('basic'));
CALL ot.as_client('jwt', ot.asserted(ot.assertion()) || '{"client_secret": "x"}');
-- ER-2: unknown client, disabled client, wrong method and wrong secret give the same bytes.
CREATE TABLE ot.refusals (response jsonb);
CREATE PROCEDURE ot.refused(client text, headers jsonb) LANGUAGE plpgsql AS $$
DECLARE
	r jsonb;
BEGIN
	CALL smart.token(ot.exchange('x'), headers, r);
	INSERT INTO ot.refusals VALUES (r);
END $$;
CALL ot.refused('basic', ot.basic('basic', 'wrong'));
CALL ot.refused('basic', ot.basic('nobody', 'wrong'));
CALL ot.refused('basic', ot.basic('pub', 'wrong'));
CALL ot.refused('basic', ot.basic('post'));
SELECT smart.disable_client('basic');
CALL ot.refused('basic', ot.basic('basic'));
SELECT smart.enable_client('basic');
SELECT count(DISTINCT response), min(response->>'status') FROM ot.refusals;
-- rotate_client_secret(): the old one until the overlap is over.
SELECT smart.rotate_client_secret('basic', '1 hour')->>'client_secret' AS fresh \gset
CALL ot.as_client('basic', '{}', ot.basic('basic'));
CALL ot.as_client('basic', '{}', ot.basic('basic', :'fresh'));
SELECT smart.rotate_client_secret('basic')->>'client_secret' AS fresher \gset
CALL ot.as_client('basic', '{}', ot.basic('basic', :'fresh'));
CALL ot.as_client('basic', '{}', ot.basic('basic', :'fresher'));
UPDATE ot.client SET secret = :'fresher' WHERE client_id = 'basic';

-- CA-13: assertions and the table of smart-rules 7.1, each line with its rule. All that is wrong is invalid_client.
CREATE PROCEDURE ot.backend(what text, assertion text, request jsonb DEFAULT '{}') LANGUAGE plpgsql AS $$
BEGIN
	CALL ot.call('token', '{"grant_type": "client_credentials", "scope": "system/Patient.read"}' || ot.asserted(assertion) || request);
	RAISE INFO '%: %', what, ot.short();
END $$;
CREATE FUNCTION ot.clock(seconds int) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(floor(extract(epoch FROM clock_timestamp())) + seconds) $$;
CALL ot.backend('right', ot.assertion());
CALL ot.backend('CA-14 client_id beside it', ot.assertion(), '{"client_id": "jwt"}');
CALL ot.backend('CA-9 another client_id beside it', ot.assertion(), '{"client_id": "pub"}');
CALL ot.backend('CA-4 exp now + 300', ot.assertion('jwt', jsonb_build_object('exp', ot.clock(300))));
CALL ot.backend('CA-4 exp now + 600', ot.assertion('jwt', jsonb_build_object('exp', ot.clock(600))));
CALL ot.backend('CA-4 exp past', ot.assertion('jwt', jsonb_build_object('exp', ot.clock(-1))));
CALL ot.backend('CA-2 exp missing', ot.assertion('jwt', '{"exp": null}'));
CALL ot.backend('CA-2 exp a string', ot.assertion('jwt', '{"exp": "4102444800"}'));
CALL ot.backend('CA-5 iat in the future', ot.assertion('jwt', jsonb_build_object('iat', ot.clock(240))));
CALL ot.backend('CA-5 iat a string', ot.assertion('jwt', '{"iat": "1"}'));
CALL ot.backend('CA-5 nbf in the future', ot.assertion('jwt', jsonb_build_object('nbf', ot.clock(240))));
CALL ot.backend('CA-5 iat now', ot.assertion('jwt', jsonb_build_object('iat', ot.clock(0))));
CALL ot.backend('CA-3 aud an array with the token URL', ot.assertion('jwt', '{"aud": ["https://x.test", "https://as.test/token"]}'));
CALL ot.backend('CA-3, OC-39 aud the issuer', ot.assertion('jwt', '{"aud": "https://as.test"}'));
CALL ot.backend('CA-3 aud with a slash', ot.assertion('jwt', '{"aud": "https://as.test/token/"}'));
CALL ot.backend('CA-2 aud missing', ot.assertion('jwt', '{"aud": null}'));
CALL ot.backend('CA-2 jti missing', ot.assertion('jwt', '{"jti": null}'));
CALL ot.backend('CA-2 jti empty', ot.assertion('jwt', '{"jti": ""}'));
CALL ot.backend('CA-2 jti a number', ot.assertion('jwt', '{"jti": 1}'));
CALL ot.backend('CA-2 iss differs from sub', ot.assertion('jwt', '{"sub": "pub"}'));
CALL ot.backend('CA-9 iss not known', ot.assertion('nobody'));
CALL ot.backend('CA-9 not registered for it', ot.assertion('pub'));
CALL ot.backend('CA-1 typ missing', ot.assertion('jwt', '{}', '{"typ": "at+jwt"}'));
CALL ot.backend('CA-11 kid not known', ot.assertion('jwt', '{}', '{"kid": "z"}'));
CALL ot.backend('CA-11 another key under the kid', ot.assertion('jwt', '{}', '{"kid": "a"}', 'b'));
CALL ot.backend('CA-10 jku with an inline set', ot.assertion('jwt', '{}', '{"jku": "https://uri.test/jwks"}'));
CALL ot.backend('CA-12 HS256', smart.jwt_sign(smart.jwt_payload(ot.assertion()), '{"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}', '{"alg": "HS256", "kid": "a", "typ": "JWT"}'));
CALL ot.backend('CA-12 none', 'eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.' || split_part(ot.assertion(), '.', 2) || '.');
CALL ot.backend('no JWT', 'x');
CALL ot.backend('CA-1 kid missing', smart.jwt_sign(smart.jwt_payload(ot.assertion()), ot.key('a') - 'kid'));
CALL ot.call('token', '{"grant_type": "client_credentials", "scope": "system/Patient.read", "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}');
SELECT ot.short();
CALL ot.call('token', ot.asserted(ot.assertion()) || '{"grant_type": "client_credentials", "scope": "system/Patient.read", "client_assertion_type": "x"}');
SELECT ot.short();
-- CA-6, CA-7: a jti is good once for its iss, whatever came of the first; not before its signature was right.
CALL ot.backend('CA-7 jti of a wrong signature', ot.assertion('jwt', '{"jti": "j1"}', '{"kid": "a"}', 'b'));
CALL ot.backend('CA-6 first use', ot.assertion('jwt', '{"jti": "j1"}'));
CALL ot.backend('CA-6 second use', ot.assertion('jwt', '{"jti": "j1"}'));
CALL ot.backend('CA-6 the same of another client', ot.assertion('uri', '{"jti": "j1"}', '{}', 'b'));
CALL ot.backend('CA-6 a use that is refused', ot.assertion('jwt', '{"jti": "j2"}'), '{"scope": "system/Condition.rs"}');
CALL ot.backend('CA-6 then', ot.assertion('jwt', '{"jti": "j2"}'));
SELECT count(*) FROM smart_internal.oauth_jti WHERE hash = sha256('client'::bytea || '\x00'::bytea || 'jwt'::bytea || '\x00'::bytea || 'j1'::bytea);
-- A client with jwks_uri: its jku, the issuer as audience and a missing typ where it is registered so.
CALL ot.backend('CA-10 the registered jku', ot.assertion('uri', '{}', '{"jku": "https://uri.test/jwks"}', 'b'));
CALL ot.backend('CA-10 another jku', ot.assertion('uri', '{}', '{"jku": "https://uri.test/jwks/"}', 'b'));
CALL ot.backend('CA-10 a jku that is no text', ot.assertion('uri', '{}', '{"jku": 1}', 'b'));
CALL ot.backend('OC-39 assertion_audience', ot.assertion('uri', '{"aud": "https://as.test"}', '{}', 'b'));

-- BS-1, BS-4, OC-41, OC-68, OC-69, OC-82: backend services. Nothing is cut, there is no refresh token.
CALL ot.backend('BS-3', ot.assertion());
SELECT (ot.last()->'body') - 'access_token', ot.claims(ot.access()), smart.jwt_header(ot.access())->>'typ';
SELECT smart.login(ot.access(), false);
SELECT scope, client_id, subject FROM smart.session;
CALL ot.backend('BS-2 beyond', ot.assertion(), '{"scope": "system/Patient.read system/Condition.rs"}');
CALL ot.backend('BS-2 beyond in letters', ot.assertion(), '{"scope": "system/Patient.cruds"}');
CALL ot.backend('BS-2 within', ot.assertion(), '{"scope": "system/Observation.rs?category=laboratory"}');
CALL ot.backend('OC-68 none', ot.assertion(), '{"scope": ""}');
CALL ot.backend('OC-69 patient/', ot.assertion(), '{"scope": "patient/Patient.rs"}');
CALL ot.backend('OC-69 openid', ot.assertion(), '{"scope": "openid system/Patient.read"}');
CALL ot.backend('malformed', ot.assertion(), '{"scope": "system/Patient.sr"}');
CALL ot.backend('aud', ot.assertion(), '{"aud": "https://fhir.test/r4"}');
CALL ot.backend('resource', ot.assertion(), '{"resource": "https://fhir.test/r4"}');
CALL ot.backend('AR-9', ot.assertion(), '{"resource": "https://fhir.test/r4", "aud": "https://fhir.test/r5"}');
CALL ot.backend('invalid_target', ot.assertion(), '{"aud": "https://fhir.test/r4/"}');
CALL ot.call('token', '{"grant_type": "client_credentials", "scope": "system/Patient.read", "client_id": "pub"}');
SELECT ot.short();
CALL ot.call('token', '{"grant_type": "client_credentials", "scope": "patient/Patient.read"}', ot.basic('basic'));
SELECT ot.short();

-- RF-1, RF-5, RF-13: refresh. fhirclient sends nothing but the token: a public client is found from it.
SELECT ot.code('pub', 'openid fhirUser launch/patient patient/*.rs offline_access', '{"context": {"intent": "i"}}') AS code \gset
CALL ot.call('token', ot.exchange(:'code') || '{"client_id": "pub"}');
SELECT ot.last() #>> '{body,refresh_token}' AS r1, ot.access() AS a1 \gset
CALL ot.call('token', jsonb_build_object('grant_type', 'refresh_token', 'refresh_token', :'r1'));
SELECT ot.last() #>> '{body,refresh_token}' AS r2 \gset
SELECT (ot.last()->'body') - '{access_token,refresh_token}'::text[] AS body;
-- RF-3: equal and narrower scopes, in another spelling (OC-84); RF-4: the next one has all of it again.
CALL ot.call('token', jsonb_build_object('grant_type', 'refresh_token', 'refresh_token', :'r2', 'client_id', 'pub', 'scope', 'patient/Observation.read'));
SELECT ot.last() #>> '{body,refresh_token}' AS r3 \gset
SELECT ot.short(), ot.last() #>> '{body,scope}';
-- refused for its scope it burns nothing
CALL ot.call('token', jsonb_build_object('grant_type', 'refresh_token', 'refresh_token', :'r3', 'scope', 'patient/*.cruds'));
SELECT ot.short();
CALL ot.call('token', jsonb_build_object('grant_type', 'refresh_token', 'refresh_token', :'r3', 'scope', 'patient/x'));
SELECT ot.short();
-- RF-2: nor by another client, neither is it reuse
CALL ot.call('token', jsonb_build_object('grant_type', 'refresh_token', 'refresh_token', :'r3'), ot.basic('basic'));
SELECT ot.short();
CALL ot.call('token', jsonb_build_object('grant_type', 'refresh_token', 'refresh_token', :'r3', 'client_id', 'nobody'));
SELECT ot.short();
CALL ot.call('token', jsonb_build_object('grant_type', 'refresh_token', 'refresh_token', :'r3', 'scope', 'openid fhirUser launch/patient patient/*.rs offline_access'));
SELECT ot.last() #>> '{body,refresh_token}' AS r4, ot.access() AS a4 \gset
SELECT ot.short(), ot.last() #>> '{body,scope}';
-- RF-7, RF-8, LF-13: an old one again ends the whole family, access tokens too
SELECT smart.login(:'a4', false);
CALL ot.call('token', jsonb_build_object('grant_type', 'refresh_token', 'refresh_token', :'r1'));
SELECT ot.short();
CALL ot.call('token', jsonb_build_object('grant_type', 'refresh_token', 'refresh_token', :'r4'));
SELECT ot.short();
SELECT smart.login(:'a4', false);
SELECT smart.login(:'a1', false);
-- RF-12: unknown, malformed, missing
CALL ot.call('token', '{"grant_type": "refresh_token", "refresh_token": "smart_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}');
SELECT ot.short();
CALL ot.call('token', '{"grant_type": "refresh_token", "refresh_token": "x", "client_id": "pub"}');
SELECT ot.short();
CALL ot.call('token', '{"grant_type": "refresh_token"}');
SELECT ot.short();
-- A confidential client authenticates for it, private_key_jwt too; without, it is neither burnt nor reuse.
SELECT ot.code('jwt', 'patient/*.rs offline_access') AS code \gset
CALL ot.call('token', ot.exchange(:'code') || ot.asserted(ot.assertion()));
SELECT ot.last() #>> '{body,refresh_token}' AS r1 \gset
CALL ot.call('token', jsonb_build_object('grant_type', 'refresh_token', 'refresh_token', :'r1'));
SELECT ot.short();
CALL ot.call('token', jsonb_build_object('grant_type', 'refresh_token', 'refresh_token', :'r1', 'client_id', 'jwt'));
SELECT ot.short();
CALL ot.call('token', jsonb_build_object('grant_type', 'refresh_token', 'refresh_token', :'r1') || ot.asserted(ot.assertion()));
SELECT ot.short();
-- RF-9, RF-10, RF-11, OC-75: 93 days, renewed; a session's from the approval; none without such a scope, or where there is no time left.
SELECT count(*), min(expires_at - made_at) FROM smart_internal.oauth_refresh_token WHERE client_id = 'jwt';
SELECT ot.code('pub', 'patient/*.rs online_access') AS code \gset
CALL ot.call('token', ot.exchange(:'code') || '{"client_id": "pub"}');
SELECT ot.short(), (SELECT t.expires_at - g.granted_at FROM smart_internal.oauth_refresh_token t JOIN smart_internal.oauth_grant g USING (grant_id) ORDER BY made_at DESC LIMIT 1) AS life;
SELECT ot.code('pub', 'patient/*.rs') AS code \gset
CALL ot.call('token', ot.exchange(:'code') || '{"client_id": "pub"}');
SELECT ot.short();
SELECT ot.code('pub', 'patient/*.rs online_access', jsonb_build_object('granted_at', clock_timestamp() - interval '9 hours')) AS code \gset
CALL ot.call('token', ot.exchange(:'code') || '{"client_id": "pub"}');
SELECT ot.short();
-- OC-76: offline_access that a public client may not have any more is dropped, and with it the refresh token.
SELECT smart.update_client('pub', '{"offline_access": false}') IS NOT NULL;
SELECT ot.code('pub', 'patient/*.rs offline_access') AS code \gset
CALL ot.call('token', ot.exchange(:'code') || '{"client_id": "pub"}');
SELECT ot.short(), ot.last() #>> '{body,scope}';
SELECT smart.update_client('pub', '{"offline_access": true}') IS NOT NULL;

-- Messages (AR-2, OC-77, OC-79): content type, grant_type, repeated parameters, then the client.
CALL ot.call('token', '{"grant_type": "client_credentials"}', '{"content-type": "application/json"}');
SELECT ot.short();
CALL ot.call('token', ot.exchange('x') || '{"client_id": "pub"}', '{"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}');
SELECT ot.short();
CALL ot.call('token', '{}');
SELECT ot.short();
CALL ot.call('token', '[]');
SELECT ot.short();
CALL ot.call('token', '{"grant_type": ["a", "b"]}');
SELECT ot.short();
CALL ot.call('token', '{"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}');
SELECT ot.short();
CALL ot.call('token', '{"grant_type": "authorization_code", "client_id": ["pub", "pub"]}');
SELECT ot.short();
CALL ot.call('token', '{"grant_type": "authorization_code", "other": {"a": 1}}');
SELECT ot.short();
CALL ot.call('token', '{"grant_type": "authorization_code", "client_id": "pub", "code": ""}');
SELECT ot.short();
CALL ot.call('token', jsonb_build_object('grant_type', 'authorization_code', 'x', repeat('x', 70000)));
SELECT ot.short();
CALL ot.call('token', '{"grant_type": "authorization_code", "other": "\" \\ é", "client_id": "\" \\ é"}');
SELECT ot.last()->'body';
-- The front end's own mistakes are errors.
CALL smart.token(NULL, '{}');
CALL smart.token('{}', NULL);
DO $$ DECLARE r jsonb; BEGIN CALL smart.token('{}', '{}', r); EXCEPTION WHEN active_sql_transaction THEN RAISE INFO '25001'; END $$;
BEGIN;
CALL smart.token('{}', '{}');
ROLLBACK;

-- Nobody's by default; the duty protocol needs nothing but its grants.
SET ROLE regress_ot_other;
CALL smart.token('{}', '{}');
SELECT smart.burn('token', '{}', '{}');
SET ROLE regress_ot_protocol;
CALL smart.token('{"grant_type": "x"}', '{}');
SELECT count(*) FROM smart_internal.oauth_client_secret;
RESET ROLE;
-- What the caller made or set is not resolved: its search_path, operators, tables, settings.
CREATE SCHEMA ot_evil AUTHORIZATION regress_ot_protocol;
SET ROLE regress_ot_protocol;
CREATE FUNCTION ot_evil.eq(bytea, bytea) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
CREATE OPERATOR ot_evil.= (LEFTARG = bytea, RIGHTARG = bytea, FUNCTION = ot_evil.eq);
CREATE TEMP TABLE oauth_client (client_id text);
SET search_path = ot_evil, pg_temp, pg_catalog;
SET enable_indexscan = off;
SET default_transaction_isolation = 'serializable';
SET synchronous_commit = off;
CALL smart.token('{"grant_type": "refresh_token", "refresh_token": "x", "client_id": "pub"}', '{}');
SHOW synchronous_commit;
RESET synchronous_commit;
RESET default_transaction_isolation;
RESET enable_indexscan;
RESET search_path;
RESET ROLE;
DROP SCHEMA ot_evil CASCADE;

\set ECHO none
\i :cleanup
