-- What the mask of the log takes for a secret, and what it leaves alone.
LOAD 'smart_fhir';
\set VERBOSITY terse
SELECT ('smart_' || repeat('a', 43))::int;
SELECT ('smart_' || repeat('a', 30))::int;
SELECT ('x smart_' || repeat('-_9', 15) || ', y')::int;
SELECT 'smart_internal.oauth_change_duty and smart_fhir.session'::int;
SELECT ('{"authorization": "Basic ' || encode('web:smart_secret/+and more', 'base64') || '"}')::int;
SELECT ('basic ' || repeat('a', 19))::int;
SELECT 'a Basic resource, and the resource type Basic/12'::int;
