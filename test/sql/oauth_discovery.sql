-- Discovery: every capability listed is true (smart-rules 9).
\getenv srcdir PG_ABS_SRCDIR
\set prelude :srcdir '/data/oauth/prelude.sql'
\set cleanup :srcdir '/data/oauth/cleanup.sql'
\set ECHO none
\i :prelude
\set ECHO all
\set VERBOSITY terse
SELECT oa.configure(), oa.clients();

-- WK-1, WK-3, OC-86, OC-87, OC-99: the whole documents by default. No capability that SMART does not name (WK-4), no permission-system (WK-5);
-- OpenID's has all that clients need (WK-6).
SELECT jsonb_pretty(smart.smart_configuration('https://fhir.example/fhir'));
SELECT jsonb_pretty(smart.openid_configuration() - 'id_token_signing_alg_values_supported') , smart.openid_configuration()->'id_token_signing_alg_values_supported' ? 'RS256' AS rs256;
-- OC-88: the coding of the service (CS-1), the addresses in the extension (CS-2), cors (CS-3), the same values as above (CS-4)
SELECT jsonb_pretty(smart.capability_security());
SELECT oa.why('SELECT smart.smart_configuration(''https://fhir.example/fhir/'')'), smart.smart_configuration() = smart.smart_configuration('https://fhir.example/other/') AS same;
-- what the configuration takes away is not listed, what it adds is (OC-85: no issuer without OpenID)
CREATE FUNCTION oa.differs(change jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	before jsonb; after jsonb;
BEGIN
	PERFORM oa.configure(); before := smart.smart_configuration();
	PERFORM oa.configure(change); after := smart.smart_configuration();
	RETURN (SELECT jsonb_strip_nulls(jsonb_build_object(
		'capabilities gone', (SELECT jsonb_agg(b) FROM jsonb_array_elements(before->'capabilities') b WHERE NOT after->'capabilities' @> b),
		'capabilities new', (SELECT jsonb_agg(b) FROM jsonb_array_elements(after->'capabilities') b WHERE NOT before->'capabilities' @> b),
		'members gone', (SELECT jsonb_agg(k ORDER BY k) FROM jsonb_object_keys(before) k WHERE NOT after ? k),
		'members new', (SELECT jsonb_object_agg(k, after->k) FROM jsonb_object_keys(after) k WHERE NOT before ? k),
		'grant types', CASE WHEN before->'grant_types_supported' <> after->'grant_types_supported' THEN after->'grant_types_supported' END)));
END $$;
SELECT change, oa.differs(change) FROM unnest(ARRAY['{"scopes_supported":"launch/patient patient/*.rs offline_access"}', '{"scopes_supported":"openid launch user/*.rs"}', '{"scopes_supported":"system/*.rs"}', '{"authorize_post":false}', '{"encounter_picker":true}',
	'{"registration_endpoint":"https://as.example/register"}', '{"management_endpoint":"https://as.example/manage","brand_bundle":"https://as.example/brands","brand_identifier":{"system":"s","value":"v"}}']::jsonb[]) change;
SELECT oa.configure('{"userinfo_endpoint":"https://as.example/userinfo"}');
SELECT smart.openid_configuration()->'userinfo_endpoint';
-- without a key for RS256 there are no ID tokens that every client can check (ID-1)
SELECT smart.retire_signing_key(k->>'kid') FROM jsonb_array_elements(smart.server_jwks()->'keys') k WHERE k->>'alg' = 'RS256';
SELECT smart.smart_configuration()->'capabilities' ? 'sso-openid-connect' AS sso, smart.openid_configuration()->'id_token_signing_alg_values_supported' AS algorithms;
\set ECHO none
\i :cleanup

