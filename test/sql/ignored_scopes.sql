-- What a session lists in ignored_scopes, with the reason, is what grants nothing; nothing else is listed.
-- RFC 7517 appendix A.1; nothing is signed here
SELECT smart.add_issuer('https://ignored.test', '{"kty": "EC", "crv": "P-256", "kid": "1", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}', '{https://ehr.test}');
BEGIN;
-- A parameter on * is known when some type has it, and its value valid when some type takes it.
SELECT smart.assume('{"sub": "u", "scope": "system/*.rs?date=lt2019 system/*.rs?date=ap2019 system/*.rs?category=a system/*.rs?nonesuch=a"}', 'https://ignored.test');
SELECT s FROM smart.session, unnest(ignored_scopes) AS s ORDER BY s COLLATE "C";
SELECT smart.permits('{"resourceType": "Observation", "id": "1", "effectiveDateTime": "2018"}', 'r') AS of_type_with_it,
	smart.permits('{"resourceType": "Patient", "id": "1"}', 'r') AS of_type_without_it;
-- A comma separates alternatives of one scope: one that is not valid spoils it, and both are listed.
SELECT smart.assume('{"sub": "u", "scope": "system/Observation.rs?date=lt2019,ap2019"}', 'https://ignored.test');
SELECT s FROM smart.session, unnest(ignored_scopes) AS s ORDER BY s COLLATE "C";
SELECT smart.permits('{"resourceType": "Observation", "id": "1", "effectiveDateTime": "2018"}', 'r') AS meets_the_other;
ROLLBACK;
SELECT smart.drop_issuer('https://ignored.test');
