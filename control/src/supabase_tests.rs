//! The database of a Supabase project: its roles, its frontend and its feed of changes, played on a plain Postgres.
//!
//! What PostgREST does for a user is done here by hand: log in as `authenticator`, become the user's role, and set the claims of the
//! token. Twice: as projects are made now, where nothing is granted by default, and as they were made before.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    db::{
        Db, DbConfig, migrate,
        private::{PrivateConfig, PrivatePostgres},
    },
    tenant::TenantId,
};

/// What a frontend may read of its user's tenants; and the catalogue, which is everybody's.
const READABLE: [&str; 7] =
    ["agent_versions", "agents", "call_daily", "conversations", "installations", "phone_numbers", "turns"];
const CATALOGUE: &str = "integrations";

/// As in Supabase's own set-up: the project's owner is no superuser, makes roles, and is not bound by policies.
const ROLES: &str = "
    create role anon nologin noinherit;
    create role authenticated nologin noinherit;
    create role service_role nologin noinherit bypassrls;
    create role authenticator login noinherit;
    grant anon, authenticated, service_role to authenticator;
    create role project_owner login createrole createdb replication bypassrls;
    grant anon, authenticated, service_role to project_owner with admin option;";

const PROJECT: &str = "
    create schema auth;
    grant usage on schema auth to anon, authenticated, service_role;
    create function auth.jwt() returns jsonb language sql stable as
        $$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;
    create function auth.uid() returns uuid language sql stable as $$ select (auth.jwt() ->> 'sub')::uuid $$;
    create publication supabase_realtime;
    alter publication supabase_realtime owner to project_owner;";

/// What was granted in projects from before May 2026.
const GRANTED_BEFORE: &str = "
    grant usage on schema public to anon, authenticated, service_role;
    alter default privileges for role project_owner in schema public grant all on tables to anon, authenticated, service_role;
    alter default privileges for role project_owner in schema public grant all on functions to anon, authenticated, service_role;
    alter default privileges for role project_owner in schema public grant all on sequences to anon, authenticated, service_role;";

/// A project that is migrated and serves, with two tenants of one member each.
struct Project {
    owner: PgConnectOptions,
    authenticator: Mutex<PgConnection>,
    db: Db,
    here: Tenant,
    there: Tenant,
}

#[derive(Clone, Copy)]
struct Tenant {
    id: Uuid,
    user: Uuid,
}

impl Project {
    async fn new(server: &PrivatePostgres, name: &str, more: &str) -> Self {
        let mut superuser = server.owner().database("postgres").connect().await.unwrap();
        run(&mut superuser, &format!("create database {name} owner project_owner")).await;
        let mut superuser = server.owner().database(name).connect().await.unwrap();
        superuser.execute(AssertSqlSafe(format!("{PROJECT}{more}"))).await.unwrap();
        let login = |user: &str| server.owner().database(name).username(user);
        let owner = login("project_owner");
        migrate(&owner, "trunkline_app").await.unwrap();
        // Once more: what is there stays.
        migrate(&owner, "trunkline_app").await.unwrap();
        let mut config = DbConfig::new(login("trunkline_app"));
        config.max_connections = 2;
        let db = Db::open(config).await.unwrap();
        let mut connection = owner.connect().await.unwrap();
        let here = tenant(&mut connection).await;
        let there = tenant(&mut connection).await;
        Self { owner, authenticator: Mutex::new(login("authenticator").connect().await.unwrap()), db, here, there }
    }

    /// All tables of the schema that PostgREST serves.
    async fn tables(&self) -> Vec<String> {
        let mut owner = self.owner.connect().await.unwrap();
        let tables: Vec<String> = sqlx::query_scalar(
            "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') order by 1",
        )
        .fetch_all(&mut owner)
        .await
        .unwrap();
        assert!(tables.len() >= 20, "{tables:?}");
        tables
    }

    /// What comes of a statement that a user's frontend has PostgREST run: each row's only column, or the error's SQLSTATE.
    async fn ask(&self, role: &str, claims: &Value, statement: &str) -> Result<Vec<Option<String>>, String> {
        let mut connection = self.authenticator.lock().await;
        let mut tx = connection.begin().await.unwrap();
        run(&mut tx, &format!("set local role {role}")).await;
        sqlx::query("select set_config('request.jwt.claims', $1, true)")
            .bind(claims.to_string())
            .execute(&mut *tx)
            .await
            .unwrap();
        let asked = sqlx::query_scalar(AssertSqlSafe(statement.to_owned())).fetch_all(&mut *tx).await;
        asked.map_err(|error| {
            error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned()
        })
    }
}

async fn run(connection: &mut PgConnection, statement: &str) {
    if let Err(error) = connection.execute(AssertSqlSafe(statement.to_owned())).await {
        panic!("{statement}: {error}");
    }
}

/// A tenant with a row in every table that a frontend may read.
async fn tenant(owner: &mut PgConnection) -> Tenant {
    let [id, user, row] = [(); 3].map(|()| Uuid::now_v7());
    let rows = format!(
        "insert into tenants (id) values ('{id}');
         insert into members (tenant_id, user_id, role) values ('{id}', '{user}', 'viewer');
         insert into credentials (tenant_id, id, integration_id, credential_name, credential_type, encrypted_credentials, fields_set,
                key_fingerprint)
             select '{id}', '{row}', i.id, 'key', 'api_key', 'sealed', '{{api_key}}', 'key' from integrations i where provider = 'openai';
         insert into installations (tenant_id, id, integration_id, credential_id)
             select '{id}', '{row}', i.id, '{row}' from integrations i where provider = 'openai';
         insert into agents (tenant_id, id, name) values ('{id}', '{row}', 'Ada');
         insert into agent_versions (tenant_id, agent_id, version, config, created_by) values ('{id}', '{row}', 1, '{{}}', 'user');
         insert into phone_numbers (tenant_id, id, provider, e164) values ('{id}', '{row}', 'twilio', '+14155550100');
         insert into conversations (tenant_id, id, agent_id, agent_version, channel, direction, status, start_time)
             values ('{id}', '{row}', '{row}', 1, 'phone', 'inbound', 'completed', now());
         insert into turns (tenant_id, conversation_id, seq, speaker, started_ms, text, source)
             values ('{id}', '{row}', 1, 'agent', 0, 'Hello.', 'greeting');
         insert into call_daily (tenant_id, day, agent_id, direction, status, calls, seconds, score_sum, score_n, latency_hist)
             values ('{id}', current_date, '{row}', 'inbound', 'completed', 1, 60, 0, 0, '{{}}') on conflict do nothing;"
    );
    run(owner, &rows).await;
    Tenant { id, user }
}

fn claims(user: Uuid) -> Value {
    json!({ "sub": user, "role": "authenticated", "aud": "authenticated" })
}

#[tokio::test]
async fn a_supabase_project_is_migrated_served_and_read_by_its_frontend() {
    let mut config = PrivateConfig::throw_away("supabase");
    config.durable = false;
    config.binaries = std::env::var_os("PG_BIN").map(Into::into);
    let server = PrivatePostgres::start(config).await.unwrap();
    let mut superuser = server.owner().database("postgres").connect().await.unwrap();
    run(&mut superuser, ROLES).await;
    run(&mut superuser, "create role trunkline_app login").await;
    for (name, more) in [("project_now", ""), ("project_before", GRANTED_BEFORE)] {
        let project = Project::new(&server, name, more).await;
        members_read_their_tenant(&project).await;
        nobody_else_reads(&project).await;
        nobody_writes(&project).await;
        nothing_goes_past_the_policies(&project).await;
        changes_are_published(&project).await;
        the_service_serves(&project).await;
        project.db.close().await;
    }
    let _ = superuser.close().await;
    server.stop().await.unwrap();
}

async fn members_read_their_tenant(project: &Project) {
    for tenant in [project.here, project.there] {
        let whose = claims(tenant.user);
        let read = async |statement: &str| project.ask("authenticated", &whose, statement).await;
        assert_eq!(read("select auth.uid()::text").await, Ok(vec![Some(tenant.user.to_string())]));
        assert_eq!(read("select lookup.member_tenants()::text").await, Ok(vec![Some(tenant.id.to_string())]));
        for table in READABLE {
            let rows = read(&format!("select tenant_id::text from {table}")).await;
            assert_eq!(rows, Ok(vec![Some(tenant.id.to_string())]), "{table}");
        }
        // What the service's policies look at is a setting that anybody can set; it opens nothing to a frontend.
        let other = if tenant.id == project.here.id { project.there } else { project.here };
        let set = format!("select set_config('app.tenant_id', '{}', true) from conversations", other.id);
        assert_eq!(read(&set).await.unwrap().len(), 1);
        let through = format!(
            "with setting as materialized (select set_config('app.tenant_id', '{}', true) as it)
             select c.tenant_id::text from setting, conversations c where setting.it <> ''",
            other.id
        );
        assert_eq!(read(&through).await, Ok(vec![Some(tenant.id.to_string())]));
        assert!(!read(&format!("select name from {CATALOGUE}")).await.unwrap().is_empty());
    }
}

async fn nobody_else_reads(project: &Project) {
    let refused = || Err("42501".to_owned());
    let member = claims(project.here.user);
    for table in project.tables().await {
        let count = format!("select count(*)::text from {table}");
        let open = READABLE.contains(&table.as_str()) || table == CATALOGUE;
        let read = project.ask("authenticated", &member, &count).await;
        assert_eq!(read.is_ok(), open, "{table}: {read:?}");
        if !open {
            assert_eq!(read, refused(), "{table}");
        }
        assert_eq!(project.ask("anon", &json!({ "role": "anon" }), &count).await, refused(), "{table}");
    }
    let seen = "select id::text from conversations";
    for nobody in [claims(Uuid::now_v7()), json!({}), json!({ "sub": null }), json!({ "tenant_id": project.here.id })] {
        assert_eq!(project.ask("authenticated", &nobody, seen).await, Ok(Vec::new()), "{nobody}");
    }
    // Members who were removed.
    let mut owner = project.owner.connect().await.unwrap();
    let mut tx = owner.begin().await.unwrap();
    let remove = format!("update members set removed_at = now() where user_id = '{}'", project.there.user);
    run(&mut tx, &remove).await;
    tx.commit().await.unwrap();
    assert_eq!(project.ask("authenticated", &claims(project.there.user), seen).await, Ok(Vec::new()));
    run(&mut owner, &remove.replace("now()", "null")).await;
}

async fn nobody_writes(project: &Project) {
    for (role, claims) in [("authenticated", claims(project.here.user)), ("anon", json!({ "role": "anon" }))] {
        for table in project.tables().await {
            let column: String = {
                let mut owner = project.owner.connect().await.unwrap();
                sqlx::query_scalar(
                    "select attname::text from pg_attribute where attrelid = $1::regclass and attnum = 1",
                )
                .bind(format!("public.{table}"))
                .fetch_one(&mut owner)
                .await
                .unwrap()
            };
            for statement in [
                format!("insert into {table} default values returning ''"),
                format!("update {table} set {column} = {column} returning ''"),
                format!("delete from {table} returning ''"),
                format!("truncate {table} cascade"),
            ] {
                assert_eq!(
                    project.ask(role, &claims, &statement).await,
                    Err("42501".to_owned()),
                    "{role}: {statement}"
                );
            }
        }
    }
}

/// A view reads as its owner, unless it says otherwise, and so does a function that is a `security definer`: both go past policies.
async fn nothing_goes_past_the_policies(project: &Project) {
    let mut owner = project.owner.connect().await.unwrap();
    let mut list = async |statement: &'static str| -> Vec<String> {
        sqlx::query_scalar(statement).fetch_all(&mut owner).await.unwrap()
    };
    let open_tables =
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
        and not relrowsecurity";
    assert_eq!(list(open_tables).await, [""; 0], "tables without row-level security");
    let views =
        "select relname::text from pg_class where relnamespace in ('public'::regnamespace, 'lookup'::regnamespace)
        and (relkind = 'm' or relkind = 'v' and not coalesce(reloptions @> '{security_invoker=true}', false))";
    assert_eq!(list(views).await, [""; 0], "views that are not `security_invoker`");
    let definers =
        "select proname::text from pg_proc where pronamespace = 'public'::regnamespace and prosecdef order by 1";
    assert_eq!(list(definers).await, [""; 0], "`security definer` functions where PostgREST serves them");
    let open = "select proname::text from pg_proc where pronamespace = 'lookup'::regnamespace
        and has_function_privilege('authenticated', oid, 'execute') order by 1";
    assert_eq!(list(open).await, ["member_tenants"]);
    let open = "select proname::text from pg_proc where pronamespace = 'lookup'::regnamespace
        and has_function_privilege('anon', oid, 'execute')";
    assert_eq!(list(open).await, [""; 0]);
    let loose = "select proname::text from pg_proc where prosecdef and pronamespace = 'lookup'::regnamespace
        and not coalesce('search_path=\"\"' = any (proconfig), false)";
    assert_eq!(list(loose).await, [""; 0], "`security definer` functions that take names from whoever calls");
}

async fn changes_are_published(project: &Project) {
    let mut owner = project.owner.connect().await.unwrap();
    let published: Vec<String> = sqlx::query_scalar(
        "select tablename::text from pg_publication_tables where pubname = 'supabase_realtime' order by 1",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert_eq!(published, ["conversations", "turns"]);
}

async fn the_service_serves(project: &Project) {
    for tenant in [project.here, project.there] {
        let mut tx = project.db.begin(TenantId::new(tenant.id)).await.unwrap();
        let seen: Vec<Uuid> =
            sqlx::query_scalar("select tenant_id from credentials").fetch_all(tx.connection()).await.unwrap();
        assert_eq!(seen, [tenant.id]);
    }
}
