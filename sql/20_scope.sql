
-- ---------------------------------------------------------------------------
-- The type smart_scope
-- ---------------------------------------------------------------------------

CREATE TYPE smart.smart_scope;

CREATE FUNCTION smart_internal.smart_scope_in(cstring) RETURNS smart.smart_scope
    AS 'MODULE_PATHNAME', 'smart_scope_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smart_internal.smart_scope_out(smart.smart_scope) RETURNS cstring
    AS 'MODULE_PATHNAME', 'smart_scope_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smart_internal.smart_scope_recv(internal) RETURNS smart.smart_scope
    AS 'MODULE_PATHNAME', 'smart_scope_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smart_internal.smart_scope_send(smart.smart_scope) RETURNS bytea
    AS 'MODULE_PATHNAME', 'smart_scope_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE TYPE smart.smart_scope (
    INPUT = smart_internal.smart_scope_in,
    OUTPUT = smart_internal.smart_scope_out,
    RECEIVE = smart_internal.smart_scope_recv,
    SEND = smart_internal.smart_scope_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = int4,
    STORAGE = extended
);

COMMENT ON TYPE smart.smart_scope IS
'A whole OAuth scope string in canonical form: SMART v2 letters, nothing that another grant covers, tokens sorted. A malformed resource scope is an error (22P02), too many alternatives are one too (54000). SMART App Launch 2.2, scopes and launch context; RFC 6749 section 3.3';
COMMENT ON FUNCTION smart_internal.smart_scope_in(cstring) IS 'Input function of smart_scope. Errors: 22P02, 54000; soft on PostgreSQL 16 and later.';
COMMENT ON FUNCTION smart_internal.smart_scope_out(smart.smart_scope) IS 'Output function of smart_scope: the canonical text.';
COMMENT ON FUNCTION smart_internal.smart_scope_recv(internal) IS 'Binary input of smart_scope: a version byte (1), then the text, which is parsed like text input. Errors: 22P02, 22P03, 54000.';
COMMENT ON FUNCTION smart_internal.smart_scope_send(smart.smart_scope) IS 'Binary output of smart_scope: a version byte (1), then the canonical text.';

CREATE CAST (text AS smart.smart_scope) WITH INOUT AS ASSIGNMENT;
CREATE CAST (smart.smart_scope AS text) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (text AS smart.smart_scope) IS 'Parses the text. Errors: 22P02, 54000.';
COMMENT ON CAST (smart.smart_scope AS text) IS 'The canonical text.';

-- Comparison: bytes of the canonical text. Two values are equal when each covers the other.

CREATE FUNCTION smart_internal.smart_scope_eq(smart.smart_scope, smart.smart_scope) RETURNS boolean
    AS 'MODULE_PATHNAME', 'smart_scope_eq' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smart_internal.smart_scope_ne(smart.smart_scope, smart.smart_scope) RETURNS boolean
    AS 'MODULE_PATHNAME', 'smart_scope_ne' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smart_internal.smart_scope_lt(smart.smart_scope, smart.smart_scope) RETURNS boolean
    AS 'MODULE_PATHNAME', 'smart_scope_lt' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smart_internal.smart_scope_le(smart.smart_scope, smart.smart_scope) RETURNS boolean
    AS 'MODULE_PATHNAME', 'smart_scope_le' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smart_internal.smart_scope_gt(smart.smart_scope, smart.smart_scope) RETURNS boolean
    AS 'MODULE_PATHNAME', 'smart_scope_gt' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smart_internal.smart_scope_ge(smart.smart_scope, smart.smart_scope) RETURNS boolean
    AS 'MODULE_PATHNAME', 'smart_scope_ge' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smart_internal.smart_scope_cmp(smart.smart_scope, smart.smart_scope) RETURNS integer
    AS 'MODULE_PATHNAME', 'smart_scope_cmp' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smart_internal.smart_scope_hash(smart.smart_scope) RETURNS integer
    AS 'MODULE_PATHNAME', 'smart_scope_hash' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smart_internal.smart_scope_hash_extended(smart.smart_scope, bigint) RETURNS bigint
    AS 'MODULE_PATHNAME', 'smart_scope_hash_extended' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;

COMMENT ON FUNCTION smart_internal.smart_scope_eq(smart.smart_scope, smart.smart_scope) IS 'implementation of = operator';
COMMENT ON FUNCTION smart_internal.smart_scope_ne(smart.smart_scope, smart.smart_scope) IS 'implementation of <> operator';
COMMENT ON FUNCTION smart_internal.smart_scope_lt(smart.smart_scope, smart.smart_scope) IS 'implementation of < operator';
COMMENT ON FUNCTION smart_internal.smart_scope_le(smart.smart_scope, smart.smart_scope) IS 'implementation of <= operator';
COMMENT ON FUNCTION smart_internal.smart_scope_gt(smart.smart_scope, smart.smart_scope) IS 'implementation of > operator';
COMMENT ON FUNCTION smart_internal.smart_scope_ge(smart.smart_scope, smart.smart_scope) IS 'implementation of >= operator';
COMMENT ON FUNCTION smart_internal.smart_scope_cmp(smart.smart_scope, smart.smart_scope) IS 'less-equal-greater: order of the canonical text by bytes';
COMMENT ON FUNCTION smart_internal.smart_scope_hash(smart.smart_scope) IS 'hash of the canonical text';
COMMENT ON FUNCTION smart_internal.smart_scope_hash_extended(smart.smart_scope, bigint) IS 'seeded hash of the canonical text';

CREATE OPERATOR smart.= (
    LEFTARG = smart.smart_scope, RIGHTARG = smart.smart_scope, FUNCTION = smart_internal.smart_scope_eq,
    COMMUTATOR = OPERATOR(smart.=), NEGATOR = OPERATOR(smart.<>),
    RESTRICT = pg_catalog.eqsel, JOIN = pg_catalog.eqjoinsel,
    HASHES, MERGES
);
CREATE OPERATOR smart.<> (
    LEFTARG = smart.smart_scope, RIGHTARG = smart.smart_scope, FUNCTION = smart_internal.smart_scope_ne,
    COMMUTATOR = OPERATOR(smart.<>), NEGATOR = OPERATOR(smart.=),
    RESTRICT = pg_catalog.neqsel, JOIN = pg_catalog.neqjoinsel
);
CREATE OPERATOR smart.< (
    LEFTARG = smart.smart_scope, RIGHTARG = smart.smart_scope, FUNCTION = smart_internal.smart_scope_lt,
    COMMUTATOR = OPERATOR(smart.>), NEGATOR = OPERATOR(smart.>=),
    RESTRICT = pg_catalog.scalarltsel, JOIN = pg_catalog.scalarltjoinsel
);
CREATE OPERATOR smart.<= (
    LEFTARG = smart.smart_scope, RIGHTARG = smart.smart_scope, FUNCTION = smart_internal.smart_scope_le,
    COMMUTATOR = OPERATOR(smart.>=), NEGATOR = OPERATOR(smart.>),
    RESTRICT = pg_catalog.scalarlesel, JOIN = pg_catalog.scalarlejoinsel
);
CREATE OPERATOR smart.> (
    LEFTARG = smart.smart_scope, RIGHTARG = smart.smart_scope, FUNCTION = smart_internal.smart_scope_gt,
    COMMUTATOR = OPERATOR(smart.<), NEGATOR = OPERATOR(smart.<=),
    RESTRICT = pg_catalog.scalargtsel, JOIN = pg_catalog.scalargtjoinsel
);
CREATE OPERATOR smart.>= (
    LEFTARG = smart.smart_scope, RIGHTARG = smart.smart_scope, FUNCTION = smart_internal.smart_scope_ge,
    COMMUTATOR = OPERATOR(smart.<=), NEGATOR = OPERATOR(smart.<),
    RESTRICT = pg_catalog.scalargesel, JOIN = pg_catalog.scalargejoinsel
);

COMMENT ON OPERATOR smart.= (smart.smart_scope, smart.smart_scope) IS 'grant the same';
COMMENT ON OPERATOR smart.<> (smart.smart_scope, smart.smart_scope) IS 'do not grant the same';
COMMENT ON OPERATOR smart.< (smart.smart_scope, smart.smart_scope) IS 'canonical text is less, by bytes';
COMMENT ON OPERATOR smart.<= (smart.smart_scope, smart.smart_scope) IS 'canonical text is less or equal, by bytes';
COMMENT ON OPERATOR smart.> (smart.smart_scope, smart.smart_scope) IS 'canonical text is greater, by bytes';
COMMENT ON OPERATOR smart.>= (smart.smart_scope, smart.smart_scope) IS 'canonical text is greater or equal, by bytes';

CREATE OPERATOR CLASS smart.smart_scope_ops DEFAULT FOR TYPE smart.smart_scope USING btree AS
    OPERATOR 1 smart.<, OPERATOR 2 smart.<=, OPERATOR 3 smart.=, OPERATOR 4 smart.>=, OPERATOR 5 smart.>,
    FUNCTION 1 smart_internal.smart_scope_cmp(smart.smart_scope, smart.smart_scope),
    FUNCTION 4 pg_catalog.btequalimage(oid);
CREATE OPERATOR CLASS smart.smart_scope_hash_ops DEFAULT FOR TYPE smart.smart_scope USING hash AS
    OPERATOR 1 smart.=,
    FUNCTION 1 smart_internal.smart_scope_hash(smart.smart_scope),
    FUNCTION 2 smart_internal.smart_scope_hash_extended(smart.smart_scope, bigint);
COMMENT ON OPERATOR CLASS smart.smart_scope_ops USING btree IS 'order of the canonical text by bytes';
COMMENT ON OPERATOR CLASS smart.smart_scope_hash_ops USING hash IS 'hash of the canonical text';

-- Covers, meet and join

CREATE FUNCTION smart_internal.smart_scope_contains(smart.smart_scope, smart.smart_scope) RETURNS boolean
    AS 'MODULE_PATHNAME', 'smart_scope_contains' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smart_internal.smart_scope_contained(smart.smart_scope, smart.smart_scope) RETURNS boolean
    AS 'MODULE_PATHNAME', 'smart_scope_contained' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smart_internal.smart_scope_both(smart.smart_scope, smart.smart_scope) RETURNS smart.smart_scope
    AS 'MODULE_PATHNAME', 'smart_scope_both' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smart_internal.smart_scope_either(smart.smart_scope, smart.smart_scope) RETURNS smart.smart_scope
    AS 'MODULE_PATHNAME', 'smart_scope_either' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION smart_internal.smart_scope_contains(smart.smart_scope, smart.smart_scope) IS 'implementation of @> operator';
COMMENT ON FUNCTION smart_internal.smart_scope_contained(smart.smart_scope, smart.smart_scope) IS 'implementation of <@ operator';
COMMENT ON FUNCTION smart_internal.smart_scope_both(smart.smart_scope, smart.smart_scope) IS 'implementation of & operator';
COMMENT ON FUNCTION smart_internal.smart_scope_either(smart.smart_scope, smart.smart_scope) IS 'implementation of | operator';

CREATE OPERATOR smart.@> (
    LEFTARG = smart.smart_scope, RIGHTARG = smart.smart_scope, FUNCTION = smart_internal.smart_scope_contains,
    COMMUTATOR = OPERATOR(smart.<@), RESTRICT = pg_catalog.contsel, JOIN = pg_catalog.contjoinsel
);
CREATE OPERATOR smart.<@ (
    LEFTARG = smart.smart_scope, RIGHTARG = smart.smart_scope, FUNCTION = smart_internal.smart_scope_contained,
    COMMUTATOR = OPERATOR(smart.@>), RESTRICT = pg_catalog.contsel, JOIN = pg_catalog.contjoinsel
);
CREATE OPERATOR smart.& (
    LEFTARG = smart.smart_scope, RIGHTARG = smart.smart_scope, FUNCTION = smart_internal.smart_scope_both, COMMUTATOR = OPERATOR(smart.&)
);
CREATE OPERATOR smart.| (
    LEFTARG = smart.smart_scope, RIGHTARG = smart.smart_scope, FUNCTION = smart_internal.smart_scope_either, COMMUTATOR = OPERATOR(smart.|)
);

COMMENT ON OPERATOR smart.@> (smart.smart_scope, smart.smart_scope) IS
'covers: all letters of all types under the same or weaker constraints, and every other token, of the right are within the left (SMART App Launch 2.2, refresh)';
COMMENT ON OPERATOR smart.<@ (smart.smart_scope, smart.smart_scope) IS 'is covered by';
COMMENT ON OPERATOR smart.& (smart.smart_scope, smart.smart_scope) IS
'what both grant: the widest value that both cover. Error 54000 when the constraints have too many combinations';
COMMENT ON OPERATOR smart.| (smart.smart_scope, smart.smart_scope) IS
'what one or the other grants: the narrowest value that covers both. Error 54000 beyond the limits';

-- Looking in

CREATE FUNCTION smart.scope_items(smart.smart_scope)
    RETURNS TABLE (scope text, kind text, level text, resource_type text, permissions text, params jsonb)
    AS 'MODULE_PATHNAME', 'smart_scope_items' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 10;
CREATE FUNCTION smart.scope_allows(scope smart.smart_scope, level text, resource_type text, permissions text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'smart_scope_allows' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smart.scope_has(scope smart.smart_scope, token text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'smart_scope_has' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION smart.scope_items(smart.smart_scope) IS
'One row for each token: its canonical text; kind resource, launch or other; for resource scopes level, type ("*" for all), letters; constraints as [["name","value"], ...], decoded. Alternatives ("a=1,2") are rows of their own';
COMMENT ON FUNCTION smart.scope_allows(smart.smart_scope, text, text, text) IS
'Does the scope grant all the letters on the type at the level, without constraint? Type "*" asks for all types. Errors: 22023 for a level other than patient, user, system, and for permissions that are not letters of "cruds" in that order';
COMMENT ON FUNCTION smart.scope_has(smart.smart_scope, text) IS
'Is this one token within the scope: the same token (openid, launch/patient), or for a resource scope all that it grants. False for text that is not one well-formed token';
