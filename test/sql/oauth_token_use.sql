-- What becomes of tokens: introspection, revocation, userinfo (smart-rules 6, 11), receipts (OC-40), counted failures (OC-80).
\getenv srcdir PG_ABS_SRCDIR
\set prelude :srcdir '/data/oauth/tokens_prelude.sql'
\set cleanup :srcdir '/data/oauth/tokens_cleanup.sql'
\set ECHO none
\i :prelude
\set ECHO all
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
CREATE FUNCTION ot.bearer(token text) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('authorization', 'Bearer ' || token) $$;
-- A code exchanged by pub or basic; tokens stay in ot.answer.
CREATE PROCEDURE ot.log_in(client text, scope text, changes jsonb DEFAULT '{}') LANGUAGE plpgsql AS $$
DECLARE
	code text := ot.code(client, scope, changes);
BEGIN
	COMMIT;
	CALL ot.call('token', ot.exchange(code) || CASE client WHEN 'pub' THEN '{"client_id": "pub"}'::jsonb ELSE '{}' END, CASE client WHEN 'pub' THEN '{}' ELSE ot.basic(client) END);
END $$;

-- TI-3, LC-2: an active token, seen by its own client, by one that may see any, and by its own bearer: with the whole context of its launch (TI-4), the ID token's iss,
-- sub and fhirUser (TI-5), the scope as it was granted (TI-6).
CALL ot.log_in('basic', 'openid fhirUser launch/patient patient/*.read offline_access', '{"encounter": "e1", "context": {"intent": "i", "need_patient_banner": false, "smart_style_url": "https://s.test", "tenant": "t", "fhirContext": [{"reference": "ImagingStudy/1"}]}}');
SELECT ot.access() AS access, ot.last() #>> '{body,refresh_token}' AS refresh, ot.last() #>> '{body,id_token}' AS id_token \gset
CALL ot.call('introspect', jsonb_build_object('token', :'access'), ot.basic('basic'));
SELECT (ot.last()->'body') - '{iat,exp,jti,grant_id}'::text[], ot.last()->'body' ?& '{iat,exp,jti,grant_id}' AS rest, jsonb_typeof(ot.last() #> '{body,exp}'), ot.last()->'headers';
SELECT (ot.last() #> '{body,exp}') = smart.jwt_payload(:'access')->'exp' AS same_exp;
CALL ot.call('introspect', jsonb_build_object('token', :'access', 'client_id', 'post', 'client_secret', ot.secret('post'), 'token_type_hint', 'refresh_token'));
SELECT ot.short();
CALL ot.call('introspect', jsonb_build_object('token', :'access'), ot.bearer(:'access'));
SELECT ot.short();
-- TI-7: exactly {"active": false} of all else: another client's, an ID token, a refresh token (OC-66), a foreign one, nonsense, one with a byte changed.
CALL ot.call('introspect', jsonb_build_object('token', :'access') || ot.asserted(ot.assertion('jwt', '{"aud": "https://as.test/introspect"}')));
SELECT ot.last()->'body', ot.last()->'status';
CALL ot.call('introspect', jsonb_build_object('token', :'id_token'), ot.basic('basic'));
SELECT ot.last()->'body';
CALL ot.call('introspect', jsonb_build_object('token', :'refresh'), ot.basic('basic'));
SELECT ot.last()->'body';
CALL ot.call('introspect', jsonb_build_object('token', smart.jwt_sign(smart.jwt_payload(:'access'), ot.key('a'), '{"typ": "at+jwt"}')), ot.basic('basic'));
SELECT ot.last()->'body';
CALL ot.call('introspect', jsonb_build_object('token', 'x'), ot.basic('basic'));
SELECT ot.last()->'body';
CALL ot.call('introspect', jsonb_build_object('token', replace(:'access', '.', '.e')), ot.basic('basic'));
SELECT ot.last()->'body';
-- TI-8, OC-37: nobody is 401, and a client_id alone is nobody; the challenge only where the header was used.
CALL ot.call('introspect', jsonb_build_object('token', :'access'));
SELECT ot.short();
CALL ot.call('introspect', jsonb_build_object('token', :'access', 'client_id', 'pub'));
SELECT ot.short();
CALL ot.call('introspect', jsonb_build_object('token', :'access'), ot.basic('basic', 'wrong'));
SELECT ot.short();
CALL ot.call('introspect', jsonb_build_object('token', :'access'), ot.bearer('x'));
SELECT ot.short();
CALL ot.call('introspect', jsonb_build_object('token', :'access'), ot.bearer(:'id_token'));
SELECT ot.short();
-- TI-1: token is required; an assertion may name this endpoint or the token endpoint, no other
CALL ot.call('introspect', '{}', ot.basic('basic'));
SELECT ot.short();
CALL ot.call('introspect', jsonb_build_object('token', ARRAY['a', 'b']), ot.basic('basic'));
SELECT ot.short();
CALL ot.call('introspect', jsonb_build_object('token', :'access') || ot.asserted(ot.assertion('jwt', '{"aud": "https://as.test/revoke"}')));
SELECT ot.short();
-- CA-6: a jti is good once for all three endpoints
CALL ot.call('introspect', jsonb_build_object('token', :'access') || ot.asserted(ot.assertion('jwt', '{"jti": "three"}')));
SELECT ot.short();
CALL ot.call('revoke', jsonb_build_object('token', :'access') || ot.asserted(ot.assertion('jwt', '{"jti": "three"}')));
SELECT ot.short();

-- userinfo: sub, and fhirUser where it was granted; RFC 6750 3.1 otherwise.
SELECT ot.short(smart.userinfo(ot.bearer(:'access'))), smart.userinfo(ot.bearer(:'access'))->'body';
SELECT ot.short(smart.userinfo('{}')), ot.short(smart.userinfo(ot.bearer('x'))), ot.short(smart.userinfo(ot.bearer(:'id_token')));
CALL ot.log_in('pub', 'openid patient/*.rs');
SELECT smart.userinfo(ot.bearer(ot.access()))->'body';
CALL ot.log_in('pub', 'patient/*.rs');
SELECT ot.short(smart.userinfo(ot.bearer(ot.access())));
SELECT smart.userinfo(NULL);

-- LF-9: revocation. Another client's token, and nonsense: 200, nothing done.
CALL ot.call('revoke', jsonb_build_object('token', :'access') || '{"client_id": "pub"}');
SELECT ot.last();
CALL ot.call('revoke', jsonb_build_object('token', :'refresh') || '{"client_id": "pub"}');
SELECT ot.short();
CALL ot.call('revoke', jsonb_build_object('token', 'x'), ot.basic('basic'));
SELECT ot.short();
SELECT count(*) FROM smart.revocation;
-- LF-11: an access token ends alone, at once
SELECT smart.login(:'access', false);
CALL ot.call('revoke', jsonb_build_object('token', :'access', 'token_type_hint', 'x'), ot.basic('basic'));
SELECT ot.short(), (SELECT count(*) FROM smart.session) AS sessions;
CALL ot.call('introspect', jsonb_build_object('token', :'access'), ot.basic('basic'));
SELECT ot.last()->'body';
SELECT ot.short(smart.userinfo(ot.bearer(:'access')));
CALL ot.call('token', jsonb_build_object('grant_type', 'refresh_token', 'refresh_token', :'refresh'), ot.basic('basic'));
SELECT ot.access() AS access, ot.last() #>> '{body,refresh_token}' AS refresh \gset
SELECT ot.short();
-- LF-10: a refresh token ends its grant with all its tokens
SELECT smart.login(:'access', false);
CALL ot.call('revoke', jsonb_build_object('token', :'refresh'), ot.basic('basic'));
SELECT ot.short(), (SELECT count(*) FROM smart.session) AS sessions;
CALL ot.call('token', jsonb_build_object('grant_type', 'refresh_token', 'refresh_token', :'refresh'), ot.basic('basic'));
SELECT ot.short();
-- it needs the client's authentication and a token
CALL ot.call('revoke', jsonb_build_object('token', :'refresh'));
SELECT ot.short();
CALL ot.call('revoke', jsonb_build_object('token', :'refresh'), ot.basic('basic', 'wrong'));
SELECT ot.short();
CALL ot.call('revoke', '{}', ot.basic('basic'));
SELECT ot.short();
-- LF-13: a disabled client loses all that it holds; enabled again it may ask again, and what it held stays ended
CALL ot.call('token', ot.asserted(ot.assertion()) || '{"grant_type": "client_credentials", "scope": "system/Patient.rs"}');
SELECT ot.access() AS own \gset
SELECT smart.login(:'own', false);
SELECT smart.disable_client('jwt');
SELECT count(*) FROM smart.session;
CALL ot.call('token', ot.asserted(ot.assertion()) || '{"grant_type": "client_credentials", "scope": "system/Patient.rs"}');
SELECT ot.short();
SELECT smart.enable_client('jwt');
CALL ot.call('token', ot.asserted(ot.assertion()) || '{"grant_type": "client_credentials", "scope": "system/Patient.rs"}');
SELECT ot.short();
SELECT smart.login(:'own', false);
SELECT smart.login(ot.access(), false);
-- a key that is dropped ends its tokens
SELECT smart.drop_signing_key(smart.jwt_header(ot.access())->>'kid');
SELECT count(*) FROM smart.session;
CALL ot.call('introspect', jsonb_build_object('token', ot.access(), 'client_id', 'post', 'client_secret', ot.secret('post')));
SELECT ot.last()->'body';
SELECT smart.logout();

-- OC-40: burn() in one transaction, redeem() in the next; the answer once, to the same session_user.
SELECT ot.code('pub', 'patient/*.rs') AS code \gset
SELECT smart.burn('token', ot.exchange(:'code') || '{"client_id": "pub"}', '{}') AS receipt \gset
SELECT :'receipt' LIKE 'smart_%';
SET SESSION AUTHORIZATION regress_ot_protocol;
SELECT ot.short(smart.redeem(:'receipt'));
RESET SESSION AUTHORIZATION;
BEGIN;
SELECT ot.short(smart.redeem(:'receipt'));
ROLLBACK;
SELECT ot.short(smart.redeem(:'receipt'));
SELECT ot.short(smart.redeem(:'receipt'));
SELECT ot.short(smart.redeem('x')), ot.short(smart.redeem(NULL));
-- not what this transaction burns, in a subtransaction neither
SELECT ot.code('pub', 'patient/*.rs') AS code \gset
BEGIN;
SAVEPOINT a;
SELECT smart.burn('token', ot.exchange(:'code') || '{"client_id": "pub"}', '{}') AS receipt \gset
RELEASE a;
SELECT ot.short(smart.redeem(:'receipt'));
COMMIT;
SELECT ot.short(smart.redeem(:'receipt'));
-- a ROLLBACK of burn() leaves no receipt and an unused code
SELECT ot.code('pub', 'patient/*.rs') AS code \gset
BEGIN;
SELECT smart.burn('token', ot.exchange(:'code') || '{"client_id": "pub"}', '{}') AS receipt \gset
ROLLBACK;
SELECT ot.short(smart.redeem(:'receipt'));
SELECT smart.burn('token', ot.exchange(:'code') || '{"client_id": "pub"}', '{}') AS receipt \gset
-- what ends between burn() and redeem() is over; burn() always gives a receipt, a refusal comes out of redeem()
SELECT smart.disable_client('pub');
SELECT ot.short(smart.redeem(:'receipt'));
SELECT smart.burn('token', ot.exchange(:'code') || '{"client_id": "pub"}', '{}') AS receipt \gset
SELECT ot.short(smart.redeem(:'receipt'));
SELECT smart.enable_client('pub');
SELECT ot.code('pub', 'patient/*.rs') AS code \gset
SELECT smart.burn('token', ot.exchange(:'code') || '{"client_id": "pub"}', '{}') AS receipt \gset
SELECT smart.withdraw_grant('alice', 'pub');
SELECT ot.short(smart.redeem(:'receipt'));
-- after its 60 seconds
SELECT smart.burn('revoke', '{"token": "x", "client_id": "pub"}', '{}') AS receipt \gset
UPDATE smart_internal.oauth_receipt SET expires_at = clock_timestamp();
SELECT ot.short(smart.redeem(:'receipt'));
SELECT smart.burn('revoke', '{"token": "x", "client_id": "pub"}', '{}') AS receipt \gset
SELECT ot.short(smart.redeem(:'receipt'));
SELECT smart.burn('introspect', '{"token": "x"}', ot.basic('basic')) AS receipt \gset
SELECT smart.redeem(:'receipt')->'body';
-- of which the table holds no answer in clear
SELECT smart.burn('introspect', '{"token": "x"}', ot.basic('basic')) IS NOT NULL;
SELECT count(*) FROM smart_internal.oauth_receipt WHERE position('status'::bytea IN answer) > 0;
SELECT smart.burn('userinfo', '{}', '{}');
SELECT smart.burn(NULL, '{}', '{}');
SELECT smart.burn('token', NULL, '{}');

-- OC-80: past 300 failures in a minute wrong answers are 429 with Retry-After and the same body; a right one is not refused, nor another client's.
UPDATE smart_internal.oauth_failure SET failures = 0, key = CASE slot WHEN -1 THEN sha256('a fixed key') END;
DO $$
DECLARE
	r jsonb;
BEGIN
	FOR i IN 1..300 LOOP
		CALL smart.token('{"grant_type": "client_credentials", "scope": "x"}', ot.basic('basic', 'wrong'), r);
	END LOOP;
	RAISE INFO 'the 300th: %', ot.short(r);
	CALL smart.token('{"grant_type": "client_credentials", "scope": "x"}', ot.basic('basic', 'wrong'), r);
	RAISE INFO 'the 301st: % %', ot.short(r), (r->'headers'->>'retry-after')::int BETWEEN 1 AND 60;
	CALL smart.token('{"grant_type": "refresh_token", "refresh_token": "x"}', ot.basic('basic'), r);
	RAISE INFO 'an unknown refresh token: %', ot.short(r);
	CALL smart.introspect('{"token": "x"}', ot.basic('basic'), r);
	RAISE INFO 'a right secret: %', r->'body';
	CALL smart.introspect('{"token": "x"}', ot.basic('post', 'wrong'), r);
	RAISE INFO 'another client: %', ot.short(r);
	-- an id that nobody has is counted too, in a table that does not grow
	FOR i IN 1..301 LOOP
		CALL smart.token('{"grant_type": "client_credentials", "scope": "x"}', ot.basic('nobody', 'wrong'), r);
	END LOOP;
	RAISE INFO 'unknown: %', ot.short(r);
END $$;
SELECT count(*) FROM smart_internal.oauth_failure;

-- Expired rows go by themselves, in small steps, with later requests.
INSERT INTO smart_internal.oauth_jti SELECT sha256(i::text::bytea), clock_timestamp() - interval '1 hour' FROM generate_series(1, 500) i;
DO $$
DECLARE
	r jsonb;
BEGIN
	FOR i IN 1..400 LOOP
		CALL smart.token(ot.asserted(ot.assertion()) || '{"grant_type": "client_credentials", "scope": "system/Patient.rs"}', '{}', r);
	END LOOP;
END $$;
SELECT count(*) FROM smart_internal.oauth_jti WHERE expires_at < clock_timestamp();

\set ECHO none
\i :cleanup
