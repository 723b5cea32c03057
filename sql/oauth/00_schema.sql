/* smart_fhir_oauth: the install script, joined from sql/oauth/[0-9]*.sql by make. */

-- complain if the script is sourced in psql rather than by CREATE EXTENSION
\echo Use "CREATE EXTENSION smart_fhir_oauth" to load this file. \quit

-- Everything is schema-qualified and nobody's by default: smart.grant_oauth() gives out duties.
-- The tables and the parts are in smart_internal, which belongs to smart_fhir.
