/* Search conditions that keep their index under a policy. */

CREATE FUNCTION smart_internal.jsonb_contains(jsonb, jsonb) RETURNS boolean
  LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_jsonb_contains';
-- it runs on hidden rows, and time or counters tell its answer: who may is the administrator's decision
REVOKE ALL ON FUNCTION smart_internal.jsonb_contains(jsonb, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.jsonb_contains(jsonb, jsonb) IS
  'Implementation of OPERATOR(smart.@>>). Whoever may execute it can find out, by time and by counters, what rows hold that policies hide from him.';

-- contsel and contjoinsel are constants: an estimator that tries sampled rows would tell in EXPLAIN what they hold
CREATE OPERATOR smart.@>> (
  LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = smart_internal.jsonb_contains, RESTRICT = contsel, JOIN = contjoinsel);
COMMENT ON OPERATOR smart.@>> (jsonb, jsonb) IS
  'Does the left value contain the right one? The same as @>, but LEAKPROOF, so that it can use an index under row-level security. Needs EXECUTE on smart_internal.jsonb_contains(jsonb, jsonb), which nobody has by default.';

CREATE OPERATOR CLASS smart.jsonb_contains_ops FOR TYPE jsonb USING gin AS
  OPERATOR 7 smart.@>> (jsonb, jsonb),
  FUNCTION 1 pg_catalog.btint4cmp(integer, integer),
  FUNCTION 2 pg_catalog.gin_extract_jsonb_path(jsonb, internal, internal),
  FUNCTION 3 pg_catalog.gin_extract_jsonb_query_path(jsonb, internal, smallint, internal, internal, internal, internal),
  FUNCTION 4 pg_catalog.gin_consistent_jsonb_path(internal, smallint, jsonb, integer, internal, internal, internal, internal),
  FUNCTION 6 pg_catalog.gin_triconsistent_jsonb_path(internal, smallint, jsonb, integer, internal, internal, internal),
  STORAGE integer;
COMMENT ON OPERATOR CLASS smart.jsonb_contains_ops USING gin IS
  'GIN index of OPERATOR(smart.@>>), built as jsonb_path_ops: CREATE INDEX ON observation USING gin (resource smart.jsonb_contains_ops).';
