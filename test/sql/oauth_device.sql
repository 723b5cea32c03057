-- The device grant (RFC 8628): device codes, user codes, what the person is asked and answers, polls. Each rule by its section.
\getenv srcdir PG_ABS_SRCDIR
\set prelude :srcdir '/data/oauth/tokens_prelude.sql'
\set cleanup :srcdir '/data/oauth/tokens_cleanup.sql'
\set ECHO none
\i :prelude
\set ECHO all
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
-- Not offered without device_verification_uri: neither listed, nor given, nor known at the token endpoint, nor looked up.
SELECT smart.openid_configuration() ? 'device_authorization_endpoint', smart.smart_configuration()->'grant_types_supported';
SELECT smart.register_client('{"client_id": "tv", "client_name": "TV", "token_endpoint_auth_method": "none", "scope": "openid fhirUser launch launch/patient patient/*.rs user/*.rs online_access system/Patient.r",
	"grant_types": ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"]}') - 'client_id_issued_at';
SELECT ot.short(smart.device_authorization('{"client_id": "tv", "scope": "openid"}', '{}'));
CALL ot.call('token', '{"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": "tv", "device_code": "x"}');
SELECT ot.short();
SELECT ot.short(smart.device_request('BCDF-GHJK'));
-- configuration: the endpoint follows from the issuer, or is given; lifetimes have bounds
SELECT smart.configure_server(smart.server_configuration() || '{"device_lifetime": 3601}');
SELECT smart.configure_server(smart.server_configuration() || '{"device_verification_uri": "ftp://as.test/x"}');
SELECT smart.configure_server(smart.server_configuration() || '{"device_authorization_endpoint": "https://as.test/d"}');
SELECT smart.server_configuration() ? 'device_authorization_endpoint', smart.server_configuration()->'device_lifetime';
SELECT smart.configure_server(smart.server_configuration() || '{"device_verification_uri": "https://as.test/device", "device_authorization_endpoint": "https://as.test/d"}');
SELECT smart.server_configuration()->>'device_authorization_endpoint';
SELECT smart.configure_server((smart.server_configuration() - 'device_authorization_endpoint') || '{"device_verification_uri": "https://as.test/device"}');
-- RFC 8628 4: metadata, in both documents
SELECT d->'device_authorization_endpoint', d->'grant_types_supported' FROM (VALUES (smart.openid_configuration()), (smart.smart_configuration())) v (d);
-- grant types that nobody knows are refused at registration; a client that registers itself cannot have this one
SELECT smart.register_client('{"token_endpoint_auth_method": "none", "grant_types": ["device_code"]}');
SELECT smart.configure_server(smart.server_configuration() || '{"registration": "open"}');
SELECT smart.register('{"token_endpoint_auth_method": "none", "redirect_uris": ["https://x.test/cb"], "grant_types": ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"]}', '{}') #> '{body,grant_types}';

-- RFC 8628 3.1, 3.2: what the client sends and gets
CREATE TABLE ot.device (n serial, body jsonb);
CREATE FUNCTION ot.device(request jsonb DEFAULT '{}', headers jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r jsonb := smart.device_authorization('{"client_id": "tv", "scope": "openid launch/patient patient/*.rs"}'::jsonb || request, headers);
BEGIN
	INSERT INTO ot.device (body) SELECT r->'body' WHERE r->'body' ? 'device_code';
	RETURN ot.short(r);
END $$;
CREATE FUNCTION ot.device_code() RETURNS text LANGUAGE sql AS $$ SELECT body->>'device_code' FROM ot.device ORDER BY n DESC LIMIT 1 $$;
CREATE FUNCTION ot.user_code() RETURNS text LANGUAGE sql AS $$ SELECT body->>'user_code' FROM ot.device ORDER BY n DESC LIMIT 1 $$;
CREATE PROCEDURE ot.poll(changes jsonb DEFAULT '{}') LANGUAGE plpgsql AS $$
DECLARE
	r jsonb := '{"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": "tv"}'::jsonb || jsonb_build_object('device_code', ot.device_code()) || changes;
BEGIN
	COMMIT;
	CALL ot.call('token', r);
	RAISE NOTICE '%', ot.short();
END $$;
CREATE FUNCTION ot.approve_device(approval jsonb DEFAULT '{}', code text DEFAULT ot.user_code()) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', a->>'status', a->>'body') FROM (SELECT smart.approve_device(code, '{"sub": "alice", "fhirUser": "Patient/p1", "scope": "patient/*.rs"}'::jsonb || approval)) x (a)
$$;
SET client_min_messages = notice;
SELECT ot.device();
SELECT body - '{device_code,user_code}'::text[], body->>'device_code' ~ '^smart_[A-Za-z0-9_-]{43}$', body->>'user_code' ~ '^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$' FROM ot.device;
-- 3.1: the client is known or authenticated as at the token endpoint, may use the grant, and asks for what it may have
SELECT ot.device('{"client_id": "nobody"}'), ot.device('{"client_id": "pub"}'), ot.device('{"client_id": "basic"}');
SELECT ot.device('{"scope": ""}'), ot.device('{"scope": "patient/"}'), ot.device('{"scope": "system/Patient.r"}'), ot.device('{"scope": "patient/*.rs"}');
SELECT ot.device('{"scope": "launch openid"}'), ot.device('{"scope": ["openid", "openid"]}'), ot.device('{}', '{"content-type": "application/json"}');
SELECT ot.device('{"aud": "https://fhir.test/other"}'), ot.device('{"resource": "https://fhir.test/r4"}'), ot.device('{"aud": "https://fhir.test/r4", "resource": "x"}');
SELECT smart.device_authorization(NULL, '{}');
SELECT smart.device_authorization('{}', NULL);
-- where there are several FHIR bases, one must be named
SELECT smart.configure_server(smart.server_configuration() || '{"fhir_base_urls": ["https://fhir.test/r4", "https://fhir.test/r5"]}');
SELECT ot.device(), ot.device('{"aud": "https://fhir.test/r5"}');
SELECT smart.configure_server(smart.server_configuration() || '{"fhir_base_urls": ["https://fhir.test/r4"]}');

-- 3.5: authorization_pending; a poll that comes within five seconds of the last one: slow_down; device_code is required
SELECT ot.device();
CALL ot.poll();
CALL ot.poll();
UPDATE smart_internal.oauth_device_code SET polled_at = polled_at - interval '5 s';
CALL ot.poll();
CALL ot.poll('{"device_code": ""}');
-- another client's code is nothing to this one, and is not slowed down by it
CALL ot.poll('{"client_id": "pub"}');
SELECT smart.register_client('{"client_id": "radio", "token_endpoint_auth_method": "none", "scope": "openid", "grant_types": ["urn:ietf:params:oauth:grant-type:device_code"]}') IS NOT NULL;
CALL ot.poll('{"client_id": "radio"}');
CALL ot.poll('{"device_code": "smart_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}');

-- 3.3, 5.4, 6.1: the person is asked, for consent always; case, hyphens and blanks do not count
SELECT smart.device_request(lower(replace(ot.user_code(), '-', '')), '{"sub": "alice", "fhirUser": "Patient/p1"}')->'body';
SELECT smart.device_request(' ' || replace(ot.user_code(), '-', '--') || ' ')#>'{body,needs}', smart.device_request(ot.user_code(), '{"sub": "bob", "fhirUser": "Practitioner/b"}') #> '{body,needs}';
SELECT ot.short(smart.device_request('')), ot.short(smart.device_request('BCDFGHJ')), ot.short(smart.device_request(ot.user_code() || 'B')), ot.short(smart.device_request('AEIO-UYAE'));
SELECT smart.device_request('BCDF-GHJK')->'body';
SELECT smart.device_request(NULL);
SELECT smart.device_request('BCDF-GHJK', '[]');
SELECT smart.device_request('BCDF-GHJK', '{"sub": 1}');
SELECT smart.approve_device(NULL, '{}');
SELECT smart.approve_device('BCDF-GHJK', '[]');
SELECT smart.approve_device(ot.user_code(), '{"sub": "alice"}');
SELECT smart.approve_device(ot.user_code(), '{"sub": "tv", "scope": ""}');
-- 3.4, 3.5: approved; the device gets the tokens that were granted, at once, however soon it polls
SELECT ot.approve_device('{"scope": "patient/Observation.rs"}');
CALL ot.poll();
SELECT ot.last() #>> '{body,scope}', ot.last() #>> '{body,patient}', ot.claims(ot.access());
-- the user code is spent: 404 for who asks and who answers
SELECT ot.short(smart.device_request(ot.user_code())), ot.approve_device();
-- 6.3 as for codes: the code is burnt, its second use is reuse and ends what it gave
CALL ot.poll();
SELECT smart.login(ot.access(), false);

-- denied by the person, or because nothing can be granted: access_denied, again and again
SELECT ot.device(), ot.approve_device('{"denied": true}');
CALL ot.poll();
CALL ot.poll();
SELECT ot.short(smart.device_request(ot.user_code())), ot.approve_device();
SELECT ot.device(), ot.approve_device('{"patient": "p2"}');
CALL ot.poll();
SELECT ot.device(), ot.approve_device('{"scope": ""}');
SELECT ot.device('{"scope": "launch/patient patient/*.rs"}'), ot.approve_device('{"scope": "patient/*.cud"}');

-- expired_token, before an answer and after it; nobody can answer an expired one
SELECT ot.device();
UPDATE smart_internal.oauth_device_code SET expires_at = clock_timestamp() - interval '1 s';
SELECT ot.short(smart.device_request(ot.user_code())), ot.approve_device();
CALL ot.poll();
SELECT ot.device(), ot.approve_device();
UPDATE smart_internal.oauth_code SET expires_at = clock_timestamp() - interval '1 s' WHERE used_at IS NULL;
CALL ot.poll();
-- what is long over is deleted, a few at a time
UPDATE smart_internal.oauth_device_code SET kept_until = clock_timestamp() - interval '1 s';
DO $$ BEGIN FOR i IN 1 .. 100 LOOP PERFORM ot.device(); END LOOP; END $$;
SELECT count(*) FROM smart_internal.oauth_device_code WHERE kept_until < clock_timestamp();
SELECT count(DISTINCT body->>'user_code') = count(*) FROM ot.device;

-- A device code is no authorization code, nor the other way round: neither redirect_uri nor code_verifier can be left out.
SELECT ot.device(), ot.approve_device();
SELECT smart.update_client('tv', '{"redirect_uris": ["https://app.test/cb"], "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"], "response_types": ["code"]}') IS NOT NULL;
CALL ot.call('token', ot.exchange(ot.device_code()) || '{"client_id": "tv"}');
SELECT ot.short();
SELECT ot.code('tv', 'patient/*.rs') AS code \gset
CALL ot.poll(jsonb_build_object('device_code', :'code'));
CALL ot.call('token', ot.exchange(:'code') || '{"client_id": "tv"}');
SELECT ot.short();
CALL ot.poll();

-- Refreshed as any grant, and ended as any: withdrawn, its session ended before the device came, its client disabled or changed.
SELECT ot.device('{"scope": "launch/patient patient/*.rs online_access"}'), ot.approve_device('{"scope": "patient/*.rs online_access"}');
CALL ot.poll();
SELECT ot.last() #>> '{body,refresh_token}' AS refresh \gset
CALL ot.call('token', jsonb_build_object('grant_type', 'refresh_token', 'refresh_token', :'refresh'));
SELECT ot.short();
SELECT client_name, scope, used_at IS NOT NULL FROM smart.grants WHERE client_id = 'tv' AND sub = 'alice' AND scope ~ 'online_access';
SELECT ot.access() AS access \gset
SELECT smart.withdraw_grant('alice', 'tv');
SELECT smart.login(:'access', false);
SELECT ot.device(), ot.approve_device();
SELECT smart.withdraw_grant('alice', 'tv');
CALL ot.poll();
SELECT ot.device(), ot.approve_device('{"session": "s"}');
SELECT smart.end_user_session('alice', 's');
CALL ot.poll();
SELECT ot.device();
SELECT smart.disable_client('tv');
CALL ot.poll();
SELECT ot.short(smart.device_request(ot.user_code())), ot.approve_device();
SELECT smart.enable_client('tv');
CALL ot.poll();
SELECT ot.short(smart.device_request(ot.user_code())), ot.approve_device();
-- a client that may not use the grant any more
SELECT ot.device();
SELECT smart.update_client('tv', '{"grant_types": ["authorization_code"]}') IS NOT NULL;
SELECT ot.short(smart.device_request(ot.user_code())), ot.approve_device();
CALL ot.poll();
SELECT smart.update_client('tv', '{"grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"]}') IS NOT NULL;
-- narrowed while the person reads: what is left, or nothing
SELECT ot.device();
SELECT smart.update_client('tv', '{"scope": "openid"}') IS NOT NULL;
SELECT ot.short(smart.device_request(ot.user_code(), '{"sub": "alice"}')), ot.approve_device();
CALL ot.poll();
SELECT ot.device('{"scope": "launch/patient patient/*.rs"}');
SELECT smart.update_client('tv', '{"scope": "openid launch/patient patient/*.rs"}') IS NOT NULL;

-- after_restore() voids device codes, whether somebody answered or not
SELECT ot.device();
SELECT smart.after_restore('infinity');
CALL ot.poll();
SELECT ot.device(), ot.approve_device();
SELECT smart.after_restore('infinity');
CALL ot.poll();

-- burn() and redeem(): a pending code, then the tokens
SELECT ot.device();
SELECT smart.burn('token', jsonb_build_object('grant_type', 'urn:ietf:params:oauth:grant-type:device_code', 'client_id', 'tv', 'device_code', ot.device_code()), '{}') AS receipt \gset
SELECT ot.short(smart.redeem(:'receipt'));
SELECT ot.approve_device();
SELECT smart.burn('token', jsonb_build_object('grant_type', 'urn:ietf:params:oauth:grant-type:device_code', 'client_id', 'tv', 'device_code', ot.device_code()), '{}') AS receipt \gset
SELECT ot.short(smart.redeem(:'receipt'));
-- 5.4: whoever has allowed it all before is asked again
SELECT ot.device();
SELECT a #> '{body,needs}', (SELECT bool_and((s->>'granted_before')::boolean) FROM jsonb_array_elements(a #> '{body,scopes}') s) FROM smart.device_request(ot.user_code(), '{"sub": "alice", "fhirUser": "Patient/p1"}') a;
-- an approval that is rolled back was none
SELECT ot.device();
BEGIN;
SELECT ot.approve_device();
ROLLBACK;
CALL ot.poll();
SELECT ot.approve_device();
CALL ot.poll();

-- A confidential device authenticates at both endpoints.
SELECT smart.register_client(jsonb_build_object('client_id', 'kiosk', 'token_endpoint_auth_method', 'private_key_jwt', 'token_endpoint_auth_signing_alg', 'ES256', 'scope', 'openid launch/patient patient/*.rs',
	'grant_types', '["urn:ietf:params:oauth:grant-type:device_code"]'::jsonb, 'jwks', jsonb_build_object('keys', jsonb_build_array(ot.key('a') - 'd')))) IS NOT NULL;
SELECT ot.device('{"client_id": "kiosk"}'), ot.device(ot.asserted(ot.assertion('kiosk')) || '{"client_id": "kiosk"}'),
	ot.device(ot.asserted(ot.assertion('kiosk', '{"aud": "https://as.test/device_authorization"}')) || '{"client_id": "kiosk"}');
CALL ot.poll('{"client_id": "kiosk"}');
CALL ot.poll(ot.asserted(ot.assertion('kiosk')) || '{"client_id": "kiosk"}');

-- 5.1: thirty unknown codes of a person in a minute, then 429 with Retry-After, whatever the code is; another person may
-- go on, and so may nobody in particular; no ROLLBACK takes it back, and right codes are not counted.
UPDATE smart_internal.oauth_guess SET since = since - 60;
SELECT ot.device();
DO $$ BEGIN FOR i IN 1 .. 40 LOOP PERFORM smart.device_request(ot.user_code(), '{"sub": "eve"}'); END LOOP; END $$;
BEGIN;
SELECT count(*) FROM generate_series(1, 20) WHERE smart.device_request('BCDF-GHJK', '{"sub": "eve"}')->>'status' = '404';
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT count(*) FROM generate_series(1, 10) WHERE smart.approve_device('BCDF-GHJK', '{"sub": "eve", "scope": ""}')->>'status' = '404';
ROLLBACK TO s;
COMMIT;
SELECT a->'status', a->'body', (a #>> '{headers,retry-after}')::int BETWEEN 1 AND 60 FROM smart.device_request(ot.user_code(), '{"sub": "eve"}') a;
SELECT ot.approve_device('{"sub": "eve"}'), ot.short(smart.device_request(ot.user_code(), '{"sub": "adam"}'));
SELECT count(*) FROM generate_series(1, 30) WHERE smart.device_request('BCDF-GHJK')->>'status' = '404';
SELECT ot.short(smart.device_request(ot.user_code())), ot.short(smart.device_request(ot.user_code(), '{"sub": "adam"}'));
SELECT ot.approve_device('{"denied": true, "sub": null}');
UPDATE smart_internal.oauth_guess SET since = since - 60;
SELECT ot.short(smart.device_request(ot.user_code())), ot.short(smart.device_request(ot.user_code(), '{"sub": "eve"}'));
-- neither grows nor is written in a read-only transaction
SELECT count(*) FROM smart_internal.oauth_guess;
BEGIN READ ONLY;
SELECT smart.device_request('BCDF-GHJK');
ROLLBACK;

-- Nothing of it in clear: codes are hashes. The duties: protocol asks, people answer.
SELECT count(*) FROM smart_internal.oauth_device_code c, ot.device d WHERE c::text ~ (d.body->>'device_code') OR c::text ~* replace(d.body->>'user_code', '-', '');
SELECT has_function_privilege('regress_ot_protocol', 'smart.device_authorization(jsonb,jsonb)', 'EXECUTE'), has_function_privilege('regress_ot_protocol', 'smart.device_request(text,jsonb)', 'EXECUTE'),
	has_function_privilege('regress_ot_protocol', 'smart.approve_device(text,jsonb)', 'EXECUTE'), has_function_privilege('public', 'smart.device_authorization(jsonb,jsonb)', 'EXECUTE');
SET ROLE regress_ot_protocol;
SELECT ot.short(smart.device_authorization('{"client_id": "tv", "scope": "openid"}', '{}'));
SELECT smart.device_request('BCDF-GHJK');
RESET ROLE;
SELECT smart.grant_oauth('regress_ot_other', 'people');
SET ROLE regress_ot_other;
SELECT ot.short(smart.device_request('BCDF-GHJK', '{"sub": "carol"}')), ot.short(smart.approve_device('BCDF-GHJK', '{"denied": true, "sub": "carol"}'));
SELECT smart.device_authorization('{"client_id": "tv", "scope": "openid"}', '{}');
RESET ROLE;
\set ECHO none
\i :cleanup
