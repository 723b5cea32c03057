-- Takes away what prelude.sql made.
SET client_min_messages = warning;
RESET ROLE;
DROP SCHEMA st CASCADE;
DROP OWNED BY regress_st_app, regress_st_own;
DROP ROLE regress_st_app, regress_st_own;
DELETE FROM smart.issuer WHERE issuer LIKE 'https://as%.example';
