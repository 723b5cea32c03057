-- Takes away what tokens_prelude.sql made.
SET client_min_messages = warning;
RESET ROLE;
DROP SCHEMA ot CASCADE;
DROP EXTENSION smart_fhir_oauth;
DELETE FROM smart.issuer WHERE issuer = 'https://as.test';
DELETE FROM smart.revocation;
DROP OWNED BY regress_ot_protocol, regress_ot_other;
DROP ROLE regress_ot_protocol, regress_ot_other;
