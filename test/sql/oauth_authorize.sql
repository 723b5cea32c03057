-- smart.authorize(): what is asked, what is shown, what is redirected (smart-rules 8.2 to 8.4).
\getenv srcdir PG_ABS_SRCDIR
\set prelude :srcdir '/data/oauth/prelude.sql'
\set cleanup :srcdir '/data/oauth/cleanup.sql'
\set ECHO none
\i :prelude
\set ECHO all
\set VERBOSITY terse
SELECT oa.configure(), oa.clients();

-- Nothing is redirected before client and redirect_uri fit (AR-3, AR-4, OC-42); the port of a loopback literal is free for native clients.
SELECT change, oa.brief(smart.authorize(oa.request(change))) FROM unnest(ARRAY[
	'{"client_id":null}', '{"client_id":""}', '{"client_id":["web","web"]}', '{"client_id":7}', '{"client_id":"nobody"}',
	'{"redirect_uri":null}', '{"redirect_uri":["https://app.example/cb","https://app.example/cb"]}', '{"redirect_uri":"https://app.example/cb/"}',
	'{"redirect_uri":"https://app.example/CB"}', '{"redirect_uri":"https://app.example/cb?a=1"}', '{"redirect_uri":"https://evil.example/cb"}',
	'{"client_id":"native","redirect_uri":"http://127.0.0.1:4711/cb","scope":"openid"}', '{"client_id":"native","redirect_uri":"http://localhost:4711/cb","scope":"openid"}',
	'{"client_id":"native","redirect_uri":"http://127.0.0.1:4711/other","scope":"openid"}', '{"client_id":"native","redirect_uri":"com.example.app:/cb","scope":"openid"}']::jsonb[]) change;
SELECT request, oa.brief(smart.authorize(request)) FROM unnest(ARRAY['{}', '[]', '"x"', 'null', '7']::jsonb[]) request;
SELECT oa.why('SELECT smart.authorize(NULL)') AS nothing, oa.brief(smart.authorize(oa.request(jsonb_build_object('x', repeat('a', 70000))))) AS long;
-- unknown and disabled are the same answer, byte for byte
SELECT smart.disable_client('public');
SELECT smart.authorize(oa.request('{"client_id":"public","redirect_uri":"https://public.example/cb"}')) = smart.authorize(oa.request('{"client_id":"nobody"}')) AS same;
SELECT smart.enable_client('public');

-- The other faults are told to the client (AR-2, AR-5, AR-6, AR-9, PK-1, PK-2, PK-4, PK-6, OC-4, OC-43, OC-51, OC-68, OC-70 to OC-72, OC-77).
SELECT change, oa.brief(answer), oa.parameter(answer, 'error_description') AS description, oa.parameter(answer, 'state') AS state, oa.parameter(answer, 'iss') AS iss
FROM unnest(ARRAY['{"response_type":null}', '{"response_type":"token"}', '{"response_type":"code id_token"}', '{"response_mode":"fragment"}', '{"response_mode":"query"}',
	'{"state":null}', '{"state":""}', '{"state":["a","b"]}', '{"state":"a b&c=d/é\"<%"}', '{"aud":null}', '{"aud":""}', '{"aud":"https://fhir.example/fhir/"}', '{"aud":"https://other.example"}',
	'{"aud":null,"resource":"https://fhir.example/fhir"}', '{"resource":"https://fhir.example/fhir"}', '{"resource":"https://fhir.example/other/"}', '{"aud":["https://fhir.example/fhir","https://fhir.example/fhir"]}',
	'{"code_challenge":null}', '{"code_challenge_method":null}', '{"code_challenge_method":"plain"}', '{"code_challenge":"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c"}',
	'{"code_challenge":"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM="}', '{"code_challenge":"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cN"}', '{"code_challenge":"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cMA"}',
	'{"scope":null}', '{"scope":""}', '{"scope":"patient/Observation.x openid"}', '{"scope":"Patient/Observation.rs"}', '{"scope":"email"}', '{"scope":"system/*.rs"}', '{"scope":"launch/practitioner"}',
	'{"scope":"patient/*.rs"}', '{"scope":"patient/*.cud launch/patient"}', '{"scope":"launch patient/*.rs"}', '{"launch":"x"}', '{"launch":"x","scope":"launch patient/*.rs"}',
	'{"request":"eyJ"}', '{"request_uri":"https://x"}', '{"registration":"{}"}', '{"nonce":["a","b"]}', '{"anything":["a","b"]}', '{"anything":{"a":1}}', '{"anything":7}', '{"anything":"x"}',
	'{"prompt":"none login"}', '{"prompt":"create"}', '{"max_age":"-1"}', '{"max_age":"1.5"}', '{"prompt":"none"}', '{"redirect_uri":"https://app.example/cb?a=1","scope":"email"}']::jsonb[]) change,
	LATERAL smart.authorize(oa.request(change)) answer;
SELECT smart.authorize(oa.request('{"redirect_uri":"https://app.example/cb?a=1","scope":"email"}'))->'headers'->>'location' AS query_stays;
SELECT oa.parameter(smart.authorize(oa.request(jsonb_build_object('state', repeat('s', 2049)))), 'error') AS long_state;
-- ER-1: no quote, no backslash, no control character in any error_description
SELECT bool_and(oa.parameter(smart.authorize(oa.request(jsonb_build_object(name, value))), 'error_description') ~ '^[\x20\x21\x23-\x5b\x5d-\x7e]+$') AS clean
FROM unnest(ARRAY['scope', 'aud', 'prompt', 'response_type', 'launch']) name, unnest(ARRAY['patient/"\\', E'a\tb\u00e9"']) value;
-- a client that may not ask for codes
SELECT smart.update_client('web', '{"grant_types":["refresh_token"],"response_types":[]}') IS NOT NULL;
SELECT oa.brief(smart.authorize(oa.request()));
SELECT smart.update_client('web', '{"grant_types":null,"response_types":null}') IS NOT NULL;

-- What is asked: cut to client, server and what the code flow may give; the spelling stays (OC-83).
SELECT change, ARRAY(SELECT s->>'scope' FROM jsonb_array_elements(smart.authorize(oa.request(change))->'body'->'scopes') s) AS scopes FROM unnest(ARRAY[
	'{"scope":"openid  fhirUser openid launch/patient patient/Observation.read patient/*.cruds email launch/imagingstudy"}',
	'{"scope":"openid system/*.rs user/*.*"}', '{"scope":"openid offline_access online_access"}', '{"scope":"openid online_access"}',
	'{"client_id":"public","redirect_uri":"https://public.example/cb","scope":"openid offline_access online_access"}',
	'{"client_id":"public","redirect_uri":"https://public.example/cb","scope":"openid offline_access"}',
	'{"client_id":"native","redirect_uri":"com.example.app:/cb","scope":"openid offline_access"}']::jsonb[]) change;
SELECT oa.configure('{"public_offline_access":true}');
SELECT ARRAY(SELECT s->>'scope' FROM jsonb_array_elements(smart.authorize(oa.request('{"client_id":"public","redirect_uri":"https://public.example/cb","scope":"openid offline_access online_access"}'))->'body'->'scopes') s) AS public_offline_access;
SELECT oa.configure('{"scopes_supported":"openid launch/patient patient/Observation.rs"}');
SELECT ARRAY(SELECT s->>'scope' FROM jsonb_array_elements(smart.authorize(oa.request())->'body'->'scopes') s) AS scopes_supported;
SELECT oa.configure();

-- The body: texts for people, the granular scopes of US Core for Condition and Observation.
SELECT jsonb_pretty(smart.authorize(oa.request('{"scope":"openid launch/patient patient/Observation.rs patient/Condition.r user/Patient.s patient/NutritionOrder.rs?status=active"}'))->'body');

-- The needs; prompt and max_age as asked. AR-1: GET and POST are the front end's, both give this request.
SELECT (smart.authorize(oa.request('{"prompt":"login consent","max_age":"600"}'))->'body') - '{scopes,client}'::text[] AS body;
CREATE FUNCTION oa.needs(change jsonb, person jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(a->'body'->>'needs', oa.brief(a)) FROM smart.authorize(oa.request(change), person) a
$$;
SELECT change, person, oa.needs(change, person) FROM (VALUES
	('{}'::jsonb, NULL::jsonb), ('{}', '{}'), ('{}', '{"sub":"bob"}'), ('{}', '{"sub":"bob","patient":"1"}'), ('{}', '{"sub":"alice","fhirUser":"Patient/1"}'), ('{}', '{"sub":"bob","fhirUser":"Practitioner/1"}'),
	('{"prompt":"select_account"}', '{"sub":"alice","fhirUser":"Patient/1"}'), ('{"scope":"openid"}', '{"sub":"bob"}'), ('{"scope":"openid launch/encounter"}', '{"sub":"bob"}'),
	('{"prompt":"none"}', NULL), ('{"prompt":"none"}', '{"sub":"bob"}'), ('{"prompt":"none"}', '{"sub":"bob","patient":"1"}')) t (change, person);
SELECT oa.configure('{"encounter_picker":true}');
SELECT oa.needs('{"scope":"openid launch/encounter"}', '{"sub":"bob"}') AS encounter_picker;
SELECT oa.configure();
SELECT person, oa.why(format('SELECT smart.authorize(oa.request(), %L)', person)) FROM unnest(ARRAY['[]', '{"sub":7}', '{"sub":""}', '{"sub":"é"}', '{"fhirUser":"x"}', '{"fhirUser":"Nothing/1"}', '{"fhirUser":"https://other.example/Patient/1"}', '{"patient":[1]}', '{"sub":null}']) person;
-- a consent that covers what is asked needs no other, but for what always does
SELECT oa.brief(smart.approve(oa.request(), '{"sub":"alice","fhirUser":"Patient/1","scope":"patient/*.rs"}'));
SELECT change, person, oa.needs(change, person) FROM (VALUES
	('{}'::jsonb, '{"sub":"alice","fhirUser":"Patient/1"}'::jsonb), ('{"prompt":"none"}', '{"sub":"alice","fhirUser":"Patient/1"}'), ('{"scope":"openid fhirUser launch/patient patient/Observation.r"}', '{"sub":"alice","fhirUser":"Patient/1"}'),
	('{"prompt":"consent"}', '{"sub":"alice","fhirUser":"Patient/1"}'), ('{"prompt":"login"}', '{"sub":"alice","fhirUser":"Patient/1"}'), ('{"scope":"openid fhirUser launch/patient patient/*.rs user/*.rs"}', '{"sub":"alice","fhirUser":"Patient/1"}'),
	('{"scope":"openid fhirUser launch/patient patient/*.rs offline_access"}', '{"sub":"alice","fhirUser":"Patient/1"}'), ('{}', '{"sub":"carol","fhirUser":"Patient/1"}'), ('{}', '{"sub":"alice","fhirUser":"Patient/2"}'), ('{}', '{"sub":"alice","patient":"1"}')) t (change, person);
SELECT smart.authorize(oa.request(), '{"sub":"alice","fhirUser":"Patient/1"}')->'body'->'scopes'->3->'granted_before' AS granted_before;
SELECT smart.update_client('web', '{"client_name":"Another"}') IS NOT NULL;
SELECT oa.needs('{}', '{"sub":"alice","fhirUser":"Patient/1"}') AS after_the_client_changed;
SELECT oa.brief(smart.approve(oa.request('{"client_id":"native","redirect_uri":"com.example.app:/cb"}'), '{"sub":"alice","fhirUser":"Patient/1","scope":"patient/*.rs"}'));
SELECT oa.needs('{"client_id":"native","redirect_uri":"com.example.app:/cb"}', '{"sub":"alice","fhirUser":"Patient/1"}') AS public_native;

-- An EHR launch: the context is for the person of the launch alone (LA-2); without the scope launch it is refused (LA-3), for another client too.
SELECT smart.create_launch('web', '{"patient":"7","encounter":"e1","intent":"order"}', 'Practitioner/b', 'bob') AS handle \gset
SELECT person, a->'body'->'launch' AS launch, a->'body'->'fhirUser' AS fhir_user, a->'body'->'needs' AS needs FROM unnest(ARRAY[NULL, '{}', '{"sub":"bob"}', '{"sub":"bob","fhirUser":"https://fhir.example/fhir/Practitioner/b"}', '{"sub":"bob","fhirUser":"Practitioner/c"}', '{"sub":"eve"}']::jsonb[]) person,
	LATERAL smart.authorize(oa.request(jsonb_build_object('launch', :'handle', 'scope', 'launch launch/patient launch/encounter openid patient/*.rs')), person) a;
SELECT oa.brief(smart.authorize(oa.request(jsonb_build_object('launch', :'handle')))) AS without_scope_launch,
	oa.brief(smart.authorize(oa.request(jsonb_build_object('launch', :'handle', 'client_id', 'public', 'redirect_uri', 'https://public.example/cb', 'scope', 'launch patient/*.rs')))) AS another_client;
UPDATE smart_internal.oauth_launch SET expires_at = clock_timestamp();
SELECT oa.brief(smart.authorize(oa.request(jsonb_build_object('launch', :'handle', 'scope', 'launch patient/*.rs')))) AS expired;
SELECT call, oa.why('SELECT ' || call) FROM unnest(ARRAY['smart.create_launch(''web'', ''{}'')', 'smart.create_launch(''nobody'', ''{}'', NULL, ''bob'')', 'smart.create_launch(''native'', ''{}'', NULL, ''bob'')',
	'smart.create_launch(''web'', ''{}'', ''nobody'')', 'smart.create_launch(''web'', ''{}'', NULL, ''é'')', 'smart.create_launch(''web'', ''[]'', NULL, ''bob'')',
	'smart.create_launch(''web'', NULL, NULL, ''bob'')', 'smart.create_launch(''web'', ''{}'', ''https://fhir.example/other/Practitioner/1'')']) call;
-- LC-1, FC-1 to FC-5
SELECT context, oa.why(format('SELECT smart.create_launch(''web'', %L, NULL, ''bob'')', context)) FROM unnest(ARRAY['{"patient":"Patient/1"}', '{"patient":1}', '{"sub":"x"}', '{"access_token":"x"}', '{"need_patient_banner":"true"}', '{"smart_style_url":"x"}',
	'{"intent":""}', '{"https://ns.example/a":{"b":1}}', '{"__a":[1]}', '{"fhirContext":[{"reference":"ImagingStudy/123"},{"identifier":{"system":"s","value":"v"}},{"reference":"Patient/9","role":"https://e.org/r"}]}',
	'{"fhirContext":[{"reference":"Patient/9"}]}', '{"fhirContext":[{"reference":"Encounter/9","role":"launch"}]}', '{"fhirContext":[{"reference":"https://x/fhir/List/1"}]}', '{"fhirContext":[{"role":"https://e.org/r"}]}', '{"fhirContext":[{}]}', '{"fhirContext":{}}',
	'{"fhirContext":["List/1"]}', '{"fhirContext":[{"reference":"List/1","role":""}]}', '{"fhirContext":[{"reference":"List/1","role":"prior"}]}']) context;

-- A dynamic client is shown all of its errors: it can have any redirect_uri.
SELECT oa.configure('{"registration":"open"}');
SELECT smart.register('{"redirect_uris":["https://dynamic.example/cb"],"scope":"openid launch/patient patient/*.rs"}', '{}')->'body'->>'client_id' AS dynamic \gset
SELECT change, oa.needs(change || jsonb_build_object('client_id', :'dynamic', 'redirect_uri', 'https://dynamic.example/cb'), '{"sub":"alice","fhirUser":"Patient/1"}')
FROM unnest(ARRAY['{"scope":"email"}', '{"state":null}', '{"prompt":"none"}', '{}']::jsonb[]) change;
SELECT oa.brief(smart.approve(oa.request(jsonb_build_object('client_id', :'dynamic', 'redirect_uri', 'https://dynamic.example/cb', 'state', null)), '{"denied":true}')) AS approve_redirects;
\set ECHO none
\i :cleanup

