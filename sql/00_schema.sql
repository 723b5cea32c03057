/* smart_fhir: the install script, joined from sql/[0-9]*.sql by make. */

-- complain if the script is sourced in psql rather than by CREATE EXTENSION
\echo Use "CREATE EXTENSION smart_fhir" to load this file. \quit

-- Everything below is schema-qualified. Each part ends with what PUBLIC may not do.
GRANT USAGE ON SCHEMA smart TO PUBLIC;
