-- Masking leaves nothing behind in a backend that logs and never fails.
LOAD 'smart_fhir';
SET log_statement = 'all';
SET client_min_messages = warning;
\t on
\o /dev/null
SELECT format('SELECT length(%L)', 'eyJ' || repeat('x', 3000)) FROM generate_series(1, 200) \gexec
\o
\t off
RESET log_statement;
SELECT total_bytes < 100000 AS small FROM pg_backend_memory_contexts WHERE name = 'ErrorContext';
