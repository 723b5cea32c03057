-- fhirUser counts under the FHIR base that the token itself names, not under another of its issuer (US-3).
SELECT smart.add_issuer('https://fhiruser.example.org',
  '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}',
  '{https://a.example.org/fhir,https://b.example.org/fhir}');
CREATE FUNCTION pg_temp.sees_own(aud text, fhir_user text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM smart.assume(jsonb_strip_nulls(jsonb_build_object('scope', 'user/Patient.r', 'aud', aud, 'fhirUser', fhir_user, 'exp', 4000000000)),
    'https://fhiruser.example.org', false);
  RETURN smart.permits('{"resourceType": "Patient", "id": "1"}', 'r');
END $$;
SELECT aud, fhir_user, pg_temp.sees_own(aud, fhir_user)
FROM (VALUES
  (1, 'https://a.example.org/fhir', 'https://a.example.org/fhir/Patient/1'),
  (2, 'https://b.example.org/fhir', 'https://a.example.org/fhir/Patient/1'),
  (3, 'https://b.example.org/fhir', 'Patient/1'),
  (4, NULL, 'https://b.example.org/fhir/Patient/1'),
  (5, 'https://a.example.org/fhir', 'https://other.example.org/fhir/Patient/1'),
  (6, 'https://a.example.org/fhir', 'https://a.example.org/fhir/Practitioner/1')) v (n, aud, fhir_user)
ORDER BY n;
SELECT smart.logout();
SELECT smart.drop_issuer('https://fhiruser.example.org');
