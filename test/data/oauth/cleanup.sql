DROP SCHEMA oa CASCADE;
DROP EXTENSION smart_fhir_oauth;
DELETE FROM smart.issuer WHERE issuer LIKE 'https://as.example/%';
DELETE FROM smart.revocation WHERE issuer LIKE 'https://as.example/%';
