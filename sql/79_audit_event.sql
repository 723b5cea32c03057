/* smart.audit_event(): records of the audit trail as FHIR R4 AuditEvents, by IHE BALP 1.1. */

CREATE FUNCTION smart_internal.audit_coding(system text, code text, display text) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object('system', CASE $1
    WHEN 'dcm' THEN 'http://dicom.nema.org/resources/ontology/DCM'
    WHEN 'balp' THEN 'https://profiles.ihe.net/ITI/BALP/CodeSystem/UserAgentTypes'
    WHEN 'rest' THEN 'http://hl7.org/fhir/restful-interaction'
    WHEN 'ihe' THEN 'urn:ihe:event-type-code'
    ELSE 'http://terminology.hl7.org/CodeSystem/' || $1 END, 'code', $2, 'display', $3))
$$;
REVOKE ALL ON FUNCTION smart_internal.audit_coding(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.audit_coding(text, text, text) IS 'A Coding; system in short: dcm, balp, rest, ihe, NULL: none, or a code system of HL7''s terminology.';

CREATE FUNCTION smart_internal.audit_network(addr text) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  -- AuditEvent.agent.network.type: 1 machine name, 2 IP address
  SELECT CASE WHEN $1 IS NULL OR $1 = '[local]' THEN jsonb_build_object('address', '[local]', 'type', '1')
    ELSE jsonb_build_object('address', $1, 'type', '2') END
$$;
REVOKE ALL ON FUNCTION smart_internal.audit_network(text) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.audit_network(text) IS 'AuditEvent.agent.network of an address; [local] for a Unix socket.';

-- Which agents the profile of an event wants, by the event: types of client, server and user.
CREATE FUNCTION smart_internal.audit_agents(record jsonb, kind text) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  WITH r AS (SELECT $1 AS r,
      ($1->>'subject') IS NOT NULL OR ($1->>'fhir_user') IS NOT NULL AS has_user,
      CASE WHEN ($1->>'fhir_user') ~ '^(https?://[^ ]+/)?[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}$' THEN $1->>'fhir_user' END AS reference,
      -- a client that was logged in, or the role of the connection
      coalesce($1->>'client_id', $1->>'role') AS client),
    codes AS (SELECT
      CASE $2 WHEN 'read' THEN smart_internal.audit_coding('dcm', '110152', 'Destination Role ID')
        WHEN 'search' THEN smart_internal.audit_coding('dcm', '110153', 'Source Role ID')
        WHEN 'create' THEN smart_internal.audit_coding('dcm', '110153', 'Source Role ID')
        WHEN 'update' THEN smart_internal.audit_coding('dcm', '110153', 'Source Role ID')
        ELSE smart_internal.audit_coding('dcm', '110150', 'Application') END AS client,
      CASE $2 WHEN 'read' THEN smart_internal.audit_coding('dcm', '110153', 'Source Role ID')
        WHEN 'mint' THEN smart_internal.audit_coding('balp', 'AuthzOauthService', NULL)
        WHEN 'delete' THEN smart_internal.audit_coding('provenance-participant-type', 'custodian', 'Custodian')
        ELSE smart_internal.audit_coding('dcm', '110152', 'Destination Role ID') END AS server,
      CASE WHEN $2 = 'login' THEN smart_internal.audit_coding('balp', 'UserOauthAgent', NULL)
        WHEN $2 IN ('create', 'update', 'delete') THEN smart_internal.audit_coding('v3-ParticipationType', 'AUT', 'author (originator)')
        ELSE smart_internal.audit_coding('v3-ParticipationType', 'IRCP', 'information recipient') END AS "user")
  SELECT jsonb_build_array(
      jsonb_strip_nulls(jsonb_build_object('type', jsonb_build_object('coding', jsonb_build_array(c.client)),
        'who', jsonb_build_object('identifier', jsonb_build_object('system', CASE WHEN r.r->>'client_id' IS NOT NULL THEN r.r->>'issuer' END, 'value', r.client)),
        'name', r.r->>'application_name', 'requestor', NOT r.has_user AND $2 <> 'login',
        'network', smart_internal.audit_network(r.r->>'client_addr'))),
      jsonb_strip_nulls(jsonb_build_object('type', jsonb_build_object('coding', jsonb_build_array(c.server)),
        'who', jsonb_build_object('identifier', jsonb_build_object('value', coalesce(r.r->>'database', 'unknown'))), 'requestor', false,
        'network', smart_internal.audit_network(r.r->>'server_addr'))))
    -- a login is the use of a token, whoever it is about
    || CASE WHEN NOT r.has_user AND $2 <> 'login' THEN '[]' ELSE jsonb_build_array(jsonb_strip_nulls(jsonb_build_object(
      'type', jsonb_build_object('coding', jsonb_build_array(c."user")),
      'who', CASE WHEN r.has_user THEN jsonb_build_object('reference', r.reference, 'identifier',
        jsonb_build_object('system', r.r->>'issuer', 'value', coalesce(r.r->>'subject', r.r->>'fhir_user'))) END,
      'requestor', true,
      'policy', CASE WHEN r.r->>'jti' IS NOT NULL THEN jsonb_build_array('urn:ietf:params:oauth:jti:' || (r.r->>'jti')) END))) END
  FROM r, codes c
$$;
REVOKE ALL ON FUNCTION smart_internal.audit_agents(jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.audit_agents(jsonb, text) IS 'AuditEvent.agent of a record: the client and the server with their networks, the user where he is known.';

CREATE FUNCTION smart_internal.audit_entities(record jsonb, kind text, patient text) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  WITH r AS (SELECT CASE WHEN jsonb_typeof($1->'relations') = 'array' THEN $1->'relations' ELSE '[]' END AS relations)
  SELECT nullif(
    CASE
      WHEN $2 = 'mint' THEN jsonb_build_array(jsonb_build_object('type', smart_internal.audit_coding('audit-entity-type', '2', 'System Object'),
        'role', smart_internal.audit_coding('object-role', '24', 'Query'),
        'query', translate(encode(convert_to(concat_ws('&', 'grant_type=' || ($1->>'grant_type'), 'scope=' || ($1->>'scope')), 'UTF8'), 'base64'), E'\n', '')))
      WHEN $2 = 'search' THEN jsonb_build_array(jsonb_build_object('type', smart_internal.audit_coding('audit-entity-type', '2', 'System Object'),
        'role', smart_internal.audit_coding('object-role', '24', 'Query'),
        'query', translate(encode(convert_to(jsonb_strip_nulls(jsonb_build_object('relations', r.relations, 'query_id', $1->'query_id'))::text, 'UTF8'), 'base64'), E'\n', '')))
      WHEN $2 IN ('read', 'create', 'update', 'delete') THEN jsonb_build_array(jsonb_build_object('type', smart_internal.audit_coding('audit-entity-type', '2', 'System Object'),
        'role', smart_internal.audit_coding('object-role', '4', 'Domain Resource'),
        -- which record it was is a row's content, and not known
        'what', jsonb_strip_nulls(jsonb_build_object('type', (SELECT e->>'type' FROM jsonb_array_elements(r.relations) e WHERE e->>'action' = $2 AND e->>'type' IS NOT NULL LIMIT 1),
          'display', coalesce((SELECT string_agg(DISTINCT e->>'name', ', ') FROM jsonb_array_elements(r.relations) e), 'unknown')))))
      ELSE '[]' END
    || CASE WHEN $3 IS NOT NULL AND $2 <> 'mint' THEN jsonb_build_array(jsonb_build_object('type', smart_internal.audit_coding('audit-entity-type', '1', 'Person'),
        'role', smart_internal.audit_coding('object-role', '1', 'Patient'),
        'what', jsonb_build_object('type', 'Patient', 'reference', CASE WHEN $3 ~ '^https?://' THEN $3 ELSE 'Patient/' || $3 END))) ELSE '[]' END
    || CASE WHEN $1->>'encounter' IS NOT NULL AND $2 <> 'mint' THEN jsonb_build_array(jsonb_build_object('type', smart_internal.audit_coding('audit-entity-type', '4', 'Other'),
        'what', jsonb_build_object('type', 'Encounter', 'reference', 'Encounter/' || ($1->>'encounter')))) ELSE '[]' END, '[]')
  FROM r
$$;
REVOKE ALL ON FUNCTION smart_internal.audit_entities(jsonb, text, text) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.audit_entities(jsonb, text, text) IS 'AuditEvent.entity of a record: what was asked for or done, and the patient.';

CREATE FUNCTION smart.audit_event(record jsonb) RETURNS SETOF jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE ROWS 1 SET search_path = pg_catalog, pg_temp AS $$
  WITH r AS (SELECT $1 AS r, $1->>'event' AS event, $1->>'sqlstate' IS NOT NULL OR $1->>'event' IN ('refused', 'denied') AS failed,
      CASE WHEN jsonb_typeof($1->'relations') = 'array' THEN $1->'relations' ELSE '[]' END AS relations),
    k AS (SELECT r.*, CASE
        WHEN r.event = 'read' THEN CASE WHEN $1->>'interaction' IN ('read', 'vread')
          AND (SELECT sum(CASE WHEN jsonb_typeof(e->'rows') = 'number' THEN (e->>'rows')::numeric END) FROM jsonb_array_elements(r.relations) e) = 1 THEN 'read' ELSE 'search' END
        WHEN r.event = 'denied' THEN coalesce((SELECT CASE WHEN e->>'action' = 'read' THEN 'search' ELSE e->>'action' END FROM jsonb_array_elements(r.relations) e
          WHERE e->>'action' IN ('read', 'create', 'update', 'delete') LIMIT 1), 'search')
        WHEN r.event = 'refused' AND $1->>'endpoint' IS NULL THEN 'refused login'
        ELSE r.event END AS kind
      FROM r),
    p AS (SELECT DISTINCT ON (value) value AS patient, n FROM jsonb_array_elements_text(CASE WHEN jsonb_typeof($1->'patients') = 'array' THEN $1->'patients' ELSE '[]' END) WITH ORDINALITY t (value, n) ORDER BY value, n),
    -- one a patient, one without any; the request for a token is one whoever it is for
    w AS (SELECT k.*, p.patient, coalesce(row_number() OVER (ORDER BY p.n), 1) AS number FROM k LEFT JOIN p ON k.kind NOT IN ('mint', 'end', 'undone') WHERE k.event IN ('read', 'create', 'update', 'delete', 'denied',
      'login', 'logout', 'refused', 'mint', 'revoke', 'grant', 'withdraw', 'launch', 'register', 'undone'))
  SELECT jsonb_strip_nulls(jsonb_build_object(
    'resourceType', 'AuditEvent',
    'id', CASE WHEN $1->>'session' ~ '^[A-Za-z0-9.-]{1,30}$' AND $1->>'seq' ~ '^[0-9]{1,18}$' THEN concat_ws('-', $1->>'session', $1->>'seq', w.number) END,
    'meta', CASE WHEN NOT w.failed THEN (SELECT jsonb_build_object('profile', jsonb_build_array('https://profiles.ihe.net/ITI/BALP/StructureDefinition/' || profile)) FROM (SELECT CASE
        WHEN w.kind = 'mint' THEN 'IHE.IUA.71'
        WHEN w.kind = 'login' THEN CASE WHEN $1->>'jti' IS NOT NULL THEN 'IHE.BasicAudit.OAUTHaccessTokenUse.Minimal' END
        WHEN w.kind IN ('read', 'search', 'create', 'update', 'delete') THEN 'IHE.BasicAudit.' || CASE WHEN w.patient IS NOT NULL THEN 'Patient' ELSE '' END
          || CASE w.kind WHEN 'search' THEN 'Query' ELSE initcap(w.kind) END END) x (profile) WHERE profile IS NOT NULL) END,
    'type', CASE WHEN w.kind IN ('read', 'search', 'create', 'update', 'delete') THEN smart_internal.audit_coding('audit-event-type', 'rest', 'Restful Operation')
      WHEN w.kind IN ('login', 'logout', 'refused login', 'mint') THEN smart_internal.audit_coding('dcm', '110114', 'User Authentication')
      WHEN w.kind = 'undone' THEN smart_internal.audit_coding('dcm', '110100', 'Application Activity')
      ELSE smart_internal.audit_coding('dcm', '110113', 'Security Alert') END,
    'subtype', jsonb_build_array(CASE
      WHEN w.kind IN ('read', 'update') AND $1->>'interaction' IN ('vread', 'patch') THEN smart_internal.audit_coding('rest', $1->>'interaction', $1->>'interaction')
      WHEN w.kind IN ('read', 'search', 'create', 'update', 'delete') THEN smart_internal.audit_coding('rest', w.kind, w.kind)
      WHEN w.kind IN ('login', 'refused login') THEN smart_internal.audit_coding('dcm', '110122', 'Login')
      WHEN w.kind = 'logout' THEN smart_internal.audit_coding('dcm', '110123', 'Logout')
      WHEN w.kind = 'mint' THEN smart_internal.audit_coding('ihe', 'ITI-71', 'Get Access Token')
      ELSE smart_internal.audit_coding(NULL, w.event, w.event) END),
    'action', CASE w.kind WHEN 'read' THEN 'R' WHEN 'create' THEN 'C' WHEN 'update' THEN 'U' WHEN 'delete' THEN 'D' ELSE 'E' END,
    'recorded', $1->>'at',
    -- 4: what was asked for was refused; 8: it failed
    'outcome', CASE WHEN NOT w.failed THEN '0' WHEN w.event IN ('refused', 'denied') THEN '4' ELSE '8' END,
    'outcomeDesc', CASE WHEN w.failed THEN nullif(concat_ws(' ', $1->>'rule', $1->>'sqlstate'), '') WHEN w.kind = 'undone' THEN nullif(concat_ws(' ', 'statements ' || ($1->>'statements'), 'gid ' || ($1->>'gid'), 'xid ' || ($1->>'xid')), '') END,
    'agent', smart_internal.audit_agents($1, w.kind),
    'source', jsonb_build_object('observer', jsonb_build_object('identifier', jsonb_build_object('value', coalesce($1->>'database', 'unknown'))),
      'type', jsonb_build_array(smart_internal.audit_coding('security-source-type', '5', 'Database Server'))),
    'entity', smart_internal.audit_entities($1, w.kind, w.patient)))
  FROM w ORDER BY w.number
$$;
REVOKE ALL ON FUNCTION smart.audit_event(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION smart.audit_event(jsonb) IS
  'A record of the audit trail as FHIR R4 AuditEvents, one for each of its patients, by the profiles of IHE BALP 1.1: read with interaction read or vread and one row IHE.BasicAudit.PatientRead, other reads PatientQuery (entity.query: base64 of relations and query_id), PatientCreate, PatientUpdate, PatientDelete, without a patient Read, Query, Create, Update, Delete; login OAUTHaccessTokenUse.Minimal; mint IHE.IUA.71. Failures claim no profile: outcome 4 what was refused or denied, 8 what failed. No row for the event end, and for events that are not known.';
