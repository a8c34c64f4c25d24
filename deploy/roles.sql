-- The roles of a Lobule database. Run once, as a superuser, inside the database:
--   psql -v owner_password=... -v app_password=... -d lobule -f deploy/roles.sql
-- lobule_owner migrates and owns every table. lobule_app runs web and workers and owns nothing,
-- because triggers and row security mean nothing to an owner. lobule_analyst can't sign in by itself: grant it to
-- whoever reads the typed views of `typed_views`; it reads nothing else.
SELECT format('CREATE ROLE lobule_owner LOGIN PASSWORD %L', :'owner_password')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lobule_owner') \gexec
SELECT format('CREATE ROLE lobule_app LOGIN PASSWORD %L', :'app_password')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lobule_app') \gexec
SELECT 'CREATE ROLE lobule_analyst NOLOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lobule_analyst') \gexec
SELECT format('ALTER ROLE lobule_owner PASSWORD %L', :'owner_password') \gexec
SELECT format('ALTER ROLE lobule_app PASSWORD %L', :'app_password') \gexec
SELECT format('ALTER DATABASE %I OWNER TO lobule_owner', current_database()) \gexec
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO lobule_owner;
GRANT USAGE ON SCHEMA public TO lobule_app;
ALTER DEFAULT PRIVILEGES FOR ROLE lobule_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO lobule_app;
ALTER DEFAULT PRIVILEGES FOR ROLE lobule_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO lobule_app;
ALTER DEFAULT PRIVILEGES FOR ROLE lobule_owner IN SCHEMA public
    GRANT EXECUTE ON FUNCTIONS TO lobule_app;
CREATE SCHEMA IF NOT EXISTS analysis AUTHORIZATION lobule_owner;
GRANT USAGE ON SCHEMA analysis TO lobule_analyst;
