-- What the tests of the authorization server share: the extension, a configuration, readers of answers.
SET client_min_messages = warning;
CREATE EXTENSION smart_fhir_oauth;
CREATE SCHEMA oa;
-- how a statement ends: ok, or its SQLSTATE with the constraint name and the message
CREATE FUNCTION oa.why(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	code text; message text; detail text;
BEGIN
	EXECUTE statement;
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = CONSTRAINT_NAME, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' ', SQLSTATE, nullif(code, ''), message, nullif(detail, ''));
END $$;
-- a parameter of the Location of an answer, decoded
CREATE FUNCTION oa.parameter(answer jsonb, name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	raw text := substring(answer->'headers'->>'location' FROM '[?&]' || name || '=([^&]*)');
	bytes bytea := '';
	part text;
BEGIN
	IF raw IS NULL THEN
		RETURN NULL;
	END IF;
	FOR part IN SELECT m[1] FROM regexp_matches(raw, '(%[0-9A-F]{2}|[^%])', 'g') m LOOP
		bytes := bytes || CASE WHEN part LIKE '\%%' THEN decode(substr(part, 2), 'hex') ELSE convert_to(part, 'UTF8') END;
	END LOOP;
	RETURN convert_from(bytes, 'UTF8');
END $$;
-- an answer in one line: 303 code, 302 invalid_scope, 400 shown invalid_request, 200
CREATE FUNCTION oa.brief(answer jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', answer->>'status', CASE
		WHEN oa.parameter(answer, 'code') ~ '^smart_[A-Za-z0-9_-]{43}$' THEN 'code'
		WHEN oa.parameter(answer, 'error') IS NOT NULL THEN oa.parameter(answer, 'error')
		WHEN answer->'body'->>'error' IS NOT NULL THEN 'shown ' || (answer->'body'->>'error') END)
$$;
-- an authorization request of the client "web", changed: a member that is null is taken out
CREATE FUNCTION oa.request(change jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_strip_nulls('{"response_type":"code","client_id":"web","redirect_uri":"https://app.example/cb","state":"s1",
		"aud":"https://fhir.example/fhir","scope":"openid fhirUser launch/patient patient/*.rs",
		"code_challenge":"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM","code_challenge_method":"S256"}' || change)
$$;
CREATE FUNCTION oa.configure(change jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
	SELECT smart.configure_server('{"issuer":"https://as.example/auth","fhir_base_urls":["https://fhir.example/fhir","https://fhir.example/other/"]}' || change)
$$;
CREATE FUNCTION oa.clients() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM smart.register_client(c) FROM jsonb_array_elements('[
		{"client_id":"web","client_name":"Web","redirect_uris":["https://app.example/cb","https://app.example/cb?a=1"],
			"scope":"openid fhirUser launch launch/patient launch/encounter offline_access online_access patient/*.rs user/*.rs"},
		{"client_id":"public","token_endpoint_auth_method":"none","redirect_uris":["https://public.example/cb"],
			"scope":"openid launch launch/patient offline_access online_access patient/*.cruds"},
		{"client_id":"native","token_endpoint_auth_method":"none","application_type":"native","redirect_uris":["http://127.0.0.1/cb","com.example.app:/cb"],
			"scope":"openid launch/patient patient/*.rs"}]') c;
END $$;
