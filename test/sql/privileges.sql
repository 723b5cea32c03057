-- Who may use what, as the catalog says it. Every query below names what breaks a rule: no rows are right.
LOAD 'smart_fhir';

-- What PUBLIC may execute, one name a line with its reason. A new function is either here or revoked.
CREATE TEMP TABLE public_function (name text PRIMARY KEY, reason text NOT NULL);
INSERT INTO public_function (reason, name)
SELECT reason, unnest(names) FROM (VALUES
	('API: the session', '{login,logout,set_interaction,pre_request,request_keys}'::text[]),
	('API: accessors', '{patient,encounter,fhir_user,client_id,scope,claims}'),
	('API: what the view smart.session calls with the reader''s rights', '{session_row}'),
	('API: the decision, asked', '{allows,require,permits,permits_row,explain}'),
	('API: pure functions of their arguments', '{patients,reference_key}'),
	('API: tokens and keys, pure functions of their arguments',
	 '{jws_verify,jwt_verify,jwt_header,jwt_payload,jwt_sign,jwk_thumbprint}'),
	('API: scopes', '{scope_items,scope_allows,scope_has}'),
	('type smart_scope: input, output, operators, operator classes',
	 '{smart_scope_in,smart_scope_out,smart_scope_recv,smart_scope_send,smart_scope_eq,smart_scope_ne,smart_scope_lt,
	   smart_scope_le,smart_scope_gt,smart_scope_ge,smart_scope_cmp,smart_scope_hash,smart_scope_hash_extended,
	   smart_scope_contains,smart_scope_contained,smart_scope_both,smart_scope_either}'),
	('API: check that the caller owns the table', '{protect,unprotect,protect_schema,refresh_followed}'),
	('policy functions: policies and index expressions call them with the querying role''s rights',
	 '{row_policy,row_patients,row_patient,row_is_regular,followed_references,resource_json}'),
	('policy functions: stand in folded plans, which are checked against the querying role',
	 '{row_check,session_patient,session_patient_reference,session_patient_uuid,session_patient_marks,session_patients,session_patient_references,
	   session_patient_uuids,patient_key,patient_reference,patient_uuid,patient_keys,patient_references,patient_uuids,among_patients}'),
	('policy functions: the view protected_table calls them with the reader''s rights',
	 '{policy_info,own_policies,partitions,others_rights,protect_hazards,views_over,ways_round,costly_policies,refuses_truncate,protection_state,
	   patients_index,has_irregular_rows,fhir_revision}'),
	('policy functions: protect() and unprotect() run as their caller, and so do these parts; they hold no right of their own',
	 '{protect_error,column_or_expression,expression_type,base_type,type_of_name,look_at_table,put_policies,put_truncate_trigger,put_key_trigger,copy_policies,enforce_policies,make_index,all_index_statements,index_statements,
	   index_name,missing_indexes,concurrent_index,rows_are_regular,patients_form,spells_references,has_one_subject,follow_links,follow_rows,has_unique_id,link_tables,drop_links,drop_keeping,keep_leaf,followers_of,follow_partitions,follow_leaves,drop_follow_triggers,keep_followed_by,link_follower,watch_followed,followed_expression,is_fhir_type,in_compartment,default_compartment,type_is_shared,shared_types,attaches_partition}')
) AS listed (reason, names);

-- No function beyond the list is executable by PUBLIC.
SELECT p.oid::regprocedure AS not_for_public
FROM pg_proc AS p
WHERE p.pronamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace)
	AND has_function_privilege('public', p.oid, 'EXECUTE')
	AND p.proname NOT IN (SELECT name FROM public_function)
ORDER BY p.oid::regprocedure::text COLLATE "C";

-- Every function on the list is.
SELECT p.oid::regprocedure AS should_be_public
FROM pg_proc AS p JOIN public_function AS l ON l.name = p.proname
WHERE p.pronamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace) AND NOT has_function_privilege('public', p.oid, 'EXECUTE')
ORDER BY p.oid::regprocedure::text COLLATE "C";

-- These are nobody's by default: who has them can be anyone, or reads how the issuers are set up.
SELECT p.oid::regprocedure AS open_to_all
FROM pg_proc AS p
WHERE p.pronamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace)
	AND p.proname IN ('assume', 'add_issuer', 'set_jwks', 'drop_issuer', 'doctor', 'revoke_tokens', 'configure_server',
		'register_client', 'create_signing_key', 'create_launch', 'authorize', 'token', 'introspect', 'revoke', 'burn', 'redeem')
	AND has_function_privilege('public', p.oid, 'EXECUTE')
ORDER BY p.oid::regprocedure::text COLLATE "C";

-- PUBLIC uses the schemas and cannot create in them.
SELECT n.nspname, has_schema_privilege('public', n.oid, 'USAGE') AS usage, has_schema_privilege('public', n.oid, 'CREATE') AS create
FROM pg_namespace AS n WHERE n.nspname IN ('smart', 'smart_internal') ORDER BY 1;

-- PUBLIC has SELECT on two views, and nothing else on any relation, column by column too.
SELECT c.oid::regclass AS relation, p.privilege
FROM pg_class AS c CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE'), ('REFERENCES'), ('TRIGGER')) AS p (privilege)
WHERE c.relnamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
	AND (has_table_privilege('public', c.oid, p.privilege)
		OR (p.privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege('public', c.oid, p.privilege)))
ORDER BY 1, 2;
SELECT c.oid::regclass AS sequence_for_public
FROM pg_class AS c
WHERE c.relnamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace) AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege('public', c.oid, 'USAGE,SELECT,UPDATE') END
ORDER BY 1;

-- Views read with the rights of who asks, but for one that is nobody's until it is granted: it shows no keys.
SELECT c.oid::regclass AS view_with_its_owners_rights
FROM pg_class AS c
WHERE c.relnamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace) AND c.relkind = 'v'
	AND NOT coalesce(c.reloptions @> '{security_invoker=true}', false)
ORDER BY 1;

-- Whatever runs with its owner's rights, and every function in PL/pgSQL, has its own search_path, pg_temp last or not at all.
SELECT p.oid::regprocedure AS without_search_path, p.prosecdef
FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
WHERE p.pronamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace) AND p.prokind = 'f' AND (p.prosecdef OR l.lanname = 'plpgsql')
	AND NOT coalesce(p.proconfig && '{"search_path=pg_catalog, pg_temp","search_path=\"\""}', false)
ORDER BY p.oid::regprocedure::text COLLATE "C";

-- Everything says what it is for.
SELECT o.type, o.identity AS without_comment
FROM pg_depend AS d CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) AS o
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'smart_fhir')
	AND o.type IN ('function', 'procedure', 'aggregate', 'table', 'view', 'type', 'operator', 'operator class', 'cast', 'event trigger', 'sequence')
	AND obj_description(d.objid, d.classid::regclass::name) IS NULL
	-- array types, row types and the like come with what they are made for
	AND NOT (o.type = 'type' AND EXISTS (SELECT FROM pg_type AS t WHERE t.oid = d.objid AND (t.typelem <> 0 AND t.typlen = -1
		OR EXISTS (SELECT FROM pg_class AS c WHERE c.oid = t.typrelid AND c.relkind <> 'c'))))
ORDER BY 1, 2;

-- A function that reads only its arguments may not be called volatile by oversight: each one that is PARALLEL UNSAFE is VOLATILE.
SELECT p.oid::regprocedure AS unsafe_yet_not_volatile
FROM pg_proc AS p
WHERE p.pronamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace) AND p.proparallel = 'u' AND p.provolatile <> 'v' AND p.proname <> 'expression_type'
ORDER BY p.oid::regprocedure::text COLLATE "C";

-- LEAKPROOF is for the comparisons of smart_scope alone: a leaky function of ours would be run on rows that nobody may see.
SELECT p.oid::regprocedure AS leakproof
FROM pg_proc AS p
WHERE p.pronamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace) AND p.proleakproof AND p.proname !~ '^smart_scope_(eq|ne|lt|le|gt|ge|cmp|hash|hash_extended)$'
ORDER BY p.oid::regprocedure::text COLLATE "C";

-- No setting can be set by an ordinary user, and the session's is not listed at all.
SELECT name, context
FROM pg_settings
WHERE name LIKE 'smart\_fhir.%' AND context NOT IN ('superuser', 'sighup', 'postmaster', 'superuser-backend', 'internal')
ORDER BY name;
SELECT count(*) AS listed_session FROM pg_settings WHERE name = 'smart_fhir.session';
SELECT setting || ' ' || coalesce(boot_val, '') AS session_setting FROM pg_settings WHERE name = 'smart_fhir.session';
CREATE ROLE regress_smart_nobody;
SET ROLE regress_smart_nobody;
\set VERBOSITY terse
SET smart_fhir.session = 'x';
\echo :LAST_ERROR_SQLSTATE
SET smart_fhir.compartment = 'full';
\echo :LAST_ERROR_SQLSTATE
SET smart_fhir.shared_types = 'Observation';
\echo :LAST_ERROR_SQLSTATE
SET smart_fhir.token_cache_size = 0;
\echo :LAST_ERROR_SQLSTATE
-- nor is a name of ours free for a placeholder
SET smart_fhir.anything = 'x';
\echo :LAST_ERROR_SQLSTATE

-- An ordinary user calls what is listed, and not what is not.
SELECT smart.reference_key('Patient/1'), smart.allows('Observation', 'r');
SELECT smart.assume('{}', 'https://as.example');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.add_issuer('https://as.example', '{"keys": []}', '{https://fhir.example}');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.set_jwks('https://as.example', '{"keys": []}');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.drop_issuer('https://as.example');
\echo :LAST_ERROR_SQLSTATE
SELECT issuer FROM smart.issuer;
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM smart.session;
SELECT count(*) FROM smart.protected_table;
RESET ROLE;
DROP ROLE regress_smart_nobody;
