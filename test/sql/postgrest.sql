-- smart.pre_request(), as PostgREST calls it: in the request's transaction, with the request's headers in a setting.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
\set key '{"kty": "EC", "crv": "P-256", "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}'
SELECT smart.add_issuer('https://rest.example', :'key'::jsonb - 'd', '{https://fhir.example/rest}');
CREATE FUNCTION pg_temp.headers(more jsonb) RETURNS text LANGUAGE sql AS $$
  SELECT set_config('request.headers', jsonb_build_object('authorization', 'Bearer ' || smart.jwt_sign('{"iss": "https://rest.example", "aud": "https://fhir.example/rest", "sub": "u", "client_id": "c", "jti": "j", "scope": "patient/*.rs", "patient": "1"}'::jsonb
    || jsonb_build_object('iat', t, 'exp', t + 300) || more, '{"kty": "EC", "crv": "P-256", "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}'))::text, true)
  FROM floor(extract(epoch FROM now())) t $$;
BEGIN;
SELECT pg_temp.headers('{}') \g /dev/null
SELECT smart.pre_request();
SELECT client_id, patient FROM smart.session;
COMMIT;
-- the session is the request's
SELECT count(*) FROM smart.session;
-- no header: nobody, also where a session was left for the connection
BEGIN;
SELECT pg_temp.headers('{}') \g /dev/null
SELECT smart.login(substr(current_setting('request.headers')::jsonb ->> 'authorization', 8), false);
SELECT set_config('request.headers', '{"accept": "*/*"}', true);
SELECT smart.pre_request();
SELECT count(*) FROM smart.session;
COMMIT;
SELECT smart.pre_request();
-- refused: 401 with the rule, and no value of the token
BEGIN;
SELECT pg_temp.headers('{"aud": "https://another.example"}') \g /dev/null
SELECT smart.pre_request();
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT set_config('request.headers', '{"authorization": "Basic YTpi"}', true) \g /dev/null
SELECT smart.pre_request();
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT smart.drop_issuer('https://rest.example');
