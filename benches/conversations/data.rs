//! The conversations, and what is asked for.

use rand::{Rng, SeedableRng, rngs::StdRng};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use trunkline_control::tenant::TenantId;
use uuid::Uuid;

use super::Error;

/// Changes when what is made changes.
const VERSION: i32 = 3;
/// Of a year.
const DAYS: i32 = 365;
const AGENTS: i32 = 5;

/// How much of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) tenants: i32,
    pub(super) conversations: i32,
    pub(super) warm_up: usize,
    pub(super) requests: usize,
    /// A second.
    pub(super) rate: u32,
}

impl Size {
    pub(super) const FULL: Self =
        Self { tenants: 100, conversations: 1_000_000, warm_up: 4_000, requests: 20_000, rate: 1000 };
    /// To see that it works.
    pub(super) const SMALL: Self = Self { tenants: 4, conversations: 2_000, warm_up: 20, requests: 100, rate: 100 };
}

impl Size {
    /// As many seconds of requests, so many a second.
    pub(super) const fn at(self, rate: u32) -> Self {
        let (now, then) = (rate as usize, self.rate as usize);
        Self { rate, requests: self.requests * now / then, warm_up: self.warm_up * now / then, ..self }
    }

    pub(super) const fn is_small(self) -> bool {
        self.conversations == Self::SMALL.conversations
    }
}

/// A request, and what kind it is.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) kind: &'static str,
    /// Whose, as a number of [`Data::tenants`].
    pub(super) tenant: usize,
    pub(super) path: String,
}

/// What is there.
#[derive(Debug)]
pub(super) struct Data {
    /// The first has half of the conversations.
    pub(super) tenants: Vec<TenantId>,
    conversations: i32,
}

impl Data {
    /// Makes it, unless it is there.
    pub(super) async fn ensure(owner: &PgConnectOptions, size: Size) -> Result<Self, Error> {
        let mut connection = owner.connect().await?;
        let tag = format!("{VERSION}/{}/{}", size.tenants, size.conversations);
        run(&mut connection, "create table if not exists bench_data (tag text not null)").await?;
        let made: Option<String> =
            sqlx::query_scalar("select tag from bench_data").fetch_optional(&mut connection).await?;
        // What is made may be days old, and periods end today.
        let fresh: bool =
            sqlx::query_scalar("select coalesce(max(start_time) > now() - interval '1 day', false) from conversations")
                .fetch_one(&mut connection)
                .await?;
        if made.as_deref() != Some(&tag) || !fresh {
            println!("making the conversations, which takes some minutes");
            fill(&mut connection, size).await?;
            sqlx::query("delete from bench_data").execute(&mut connection).await?;
            sqlx::query("insert into bench_data values ($1)").bind(&tag).execute(&mut connection).await?;
        }
        let _ = connection.close().await;
        let tenants = (0..size.tenants).map(|n| TenantId::new(tenant(n))).collect();
        Ok(Self { tenants, conversations: size.conversations })
    }

    /// Lists, as people and their frontends ask for them: mostly the first page, often of the large tenant, some with a filter.
    pub(super) fn list_requests(&self, seed: u64, n: usize) -> Vec<Request> {
        let mut random = StdRng::seed_from_u64(seed);
        (0..n).map(|_| self.list_request(&mut random)).collect()
    }

    fn list_request(&self, random: &mut StdRng) -> Request {
        let tenant = self.any_tenant(random);
        let day = |ago: i64| (chrono::Utc::now() - chrono::TimeDelta::days(ago)).format("%Y-%m-%d");
        let (kind, query) = match random.random_range(0..100) {
            0..55 => ("first page", String::new()),
            55..63 => ("later page", format!("page={}", random.random_range(2..=5))),
            63..65 => ("deepest page", "page=201".into()),
            65..72 => ("agent_id", format!("agent_id={}", agent(tenant as i32, random.random_range(0..AGENTS)))),
            72..78 => ("status", format!("status={}", ["completed", "failed", "active"][random.random_range(0..3)])),
            78..82 => ("direction", format!("direction={}", ["inbound", "outbound"][random.random_range(0..2)])),
            82..86 => {
                ("outcome", format!("outcome={}", ["resolved", "complaint", "unknown"][random.random_range(0..3)]))
            }
            86..93 => ("days", format!("date_from={}&date_to={}", day(random.random_range(1..60)), day(0))),
            93..96 => ("days, agent_id, status", {
                let agent = agent(tenant as i32, random.random_range(0..AGENTS));
                format!("date_from={}&agent_id={agent}&status=completed", day(30))
            }),
            96..98 => ("agent_id, status, direction", {
                let agent = agent(tenant as i32, random.random_range(0..AGENTS));
                format!("agent_id={agent}&status=failed&direction=outbound")
            }),
            _ => ("q, a rare word", format!("q=ref{}", random.random_range(0..self.conversations))),
        };
        Request { kind, tenant, path: format!("/v1/conversations?{query}") }
    }

    /// Dashboards of all periods.
    pub(super) fn dashboard_requests(&self, seed: u64, n: usize) -> Vec<Request> {
        let mut random = StdRng::seed_from_u64(seed);
        let periods = [("dashboard 7d", "7d"), ("dashboard 30d", "30d"), ("dashboard 90d", "90d")];
        let request = |random: &mut StdRng| {
            let (kind, period) = periods[random.random_range(0..3)];
            Request { kind, tenant: self.any_tenant(random), path: format!("/v1/analytics/dashboard?period={period}") }
        };
        (0..n).map(|_| request(&mut random)).collect()
    }

    /// The large one as often as all others together.
    fn any_tenant(&self, random: &mut StdRng) -> usize {
        if random.random() { 0 } else { random.random_range(0..self.tenants.len()) }
    }

    /// One query of each kind, of a tenant.
    pub(super) fn queries(&self, _: TenantId) -> Vec<String> {
        let agent = agent(0, 1);
        vec![
            String::new(),
            "page=201".into(),
            format!("agent_id={agent}"),
            "status=failed".into(),
            "status=active".into(),
            "direction=outbound".into(),
            "outcome=complaint".into(),
            "outcome=unknown".into(),
            "date_from=2026-01-01".into(),
            "date_from=2026-01-01T12:00:00Z".into(),
            format!("agent_id={agent}&status=failed&direction=outbound"),
            format!("agent_id={agent}&status=failed&outcome=resolved"),
            "direction=outbound&outcome=complaint".into(),
            "q=ref77000".into(),
            "q=word2900".into(),
            "q=word50".into(),
            "q=word50&status=failed".into(),
            "q=word0".into(),
            "q=word0+word1&direction=outbound".into(),
        ]
    }
}

/// As the database makes them.
fn tenant(n: i32) -> Uuid {
    Uuid::from_u128(0x7e00_0000_0000_7000_8000_0000_0000_0000 + n as u128)
}

pub(super) fn agent(tenant: i32, n: i32) -> Uuid {
    Uuid::from_u128(0xa900_0000_0000_7000_8000_0000_0000_0000 + (tenant * 1000 + n) as u128)
}

async fn run(connection: &mut PgConnection, statement: &str) -> Result<(), Error> {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await?;
    Ok(())
}

/// Without indexes, which are made again behind it; all at once, so that nothing is missing if it is broken off.
async fn fill(connection: &mut PgConnection, size: Size) -> Result<(), Error> {
    let indexes: Vec<(String, String)> = sqlx::query_as(
        "select indexname::text, indexdef from pg_indexes i where tablename = 'conversations'
         and not exists (select from pg_constraint c where c.conname = i.indexname)",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut transaction = connection.begin().await?;
    run(&mut transaction, "truncate tenants cascade").await?;
    for (name, _) in &indexes {
        run(&mut transaction, &format!("drop index {name}")).await?;
    }
    let Size { tenants, conversations, .. } = size;
    let fill = format!(
        "set synchronous_commit = off; set maintenance_work_mem = '512MB'; select setseed(0.5);
         create temp table ids as
             select t, ('7e000000-0000-7000-8000-' || lpad(to_hex(t), 12, '0'))::uuid as tenant from generate_series(0, {tenants} - 1) t;
         create temp table agent_ids as
             select t, a, ('a9000000-0000-7000-8000-' || lpad(to_hex(t * 1000 + a), 12, '0'))::uuid as agent
             from generate_series(0, {tenants} - 1) t, generate_series(0, {AGENTS} - 1) a;
         insert into tenants (id) select tenant from ids;
         insert into agents (tenant_id, id, name) select i.tenant, a.agent, 'Ada' from agent_ids a join ids i using (t);
         -- Few words are in most calls, most words are in few.
         create temp table texts as
             select n, to_tsvector('simple', (select string_agg('word' || (power(random(), 3) * 3000 + 0 * w)::int, ' ')
                                              from generate_series(1, 80 + 0 * n) w)) as words
             from generate_series(0, 4999) n;
         create temp table calls as
             select n, case when n % 2 = 0 then 0 else 1 + (n / 2) % greatest({tenants} - 1, 1) end as t,
                 floor(random() * random() * {AGENTS})::int as a, random() as r1, random() as r2, random() as r3, random() as r4,
                 now() - interval '{DAYS} days' + n * (interval '{DAYS} days' / {conversations}) as at
             from generate_series(0, {conversations} - 1) n;
         insert into conversations (tenant_id, id, agent_id, agent_version, channel, provider, direction, customer_phone, our_number,
             status, end_reason, start_time, answered_at, end_time, duration_seconds, sentiment, outcome, tags, summary,
             satisfaction_score, context, search, response_ms, node)
         select i.tenant, gen_random_uuid(), g.agent, 1, 'phone', 'twilio', case when c.r1 < 0.8 then 'inbound' else 'outbound' end,
             '+1415555' || lpad((c.n % 10000)::text, 4, '0'), '+15005550006', case when c.r2 < 0.93 then 'completed' else 'failed' end,
             case when c.r2 < 0.93 then 'caller_hangup' else 'no_answer' end, c.at, c.at + interval '5 s', c.at + c.r3 * interval '400 s',
             (c.r3 * 400)::int, 'neutral',
             case when c.r2 >= 0.93 then null when c.r4 < 0.6 then 'resolved' when c.r4 < 0.8 then 'callback_scheduled'
                 when c.r4 < 0.95 then 'transferred' when c.r4 < 0.999 then 'unresolved' else 'complaint' end,
             array['billing'], 'The caller asked where a parcel was, and was told when it would come.',
             case when c.r2 < 0.5 then (1 + floor(c.r1 * 5))::real end, '{{\"from_number\": \"+14155550100\"}}',
             x.words || to_tsvector('simple', 'ref' || c.n) || array_to_tsvector(array[i.tenant::text]),
             case when c.r2 < 0.93 then array[(400 + c.r1 * 1500)::int, (300 + c.r3 * 900)::int, (500 + c.r4 * 800)::int] else '{{}}' end, 'n'
         from calls c join ids i using (t) join agent_ids g using (t, a) join texts x on x.n = c.n % 5000
         order by c.n;
         insert into call_daily (tenant_id, day, agent_id, direction, status, outcome, calls, seconds, score_sum, score_n, latency_hist)
         select tenant_id, day, agent_id, direction, status, outcome, calls, seconds, score_sum, score_n, latency_hist from call_counts
         order by day;
         insert into call_totals (tenant_id, agent_id, direction, status, outcome, calls)
         select tenant_id, agent_id, direction, status, outcome, sum(calls) from call_daily group by 1, 2, 3, 4, 5 order by 1;
         drop table ids, agent_ids, texts, calls;"
    );
    run(&mut transaction, &fill).await?;
    for (_, definition) in &indexes {
        run(&mut transaction, definition).await?;
    }
    transaction.commit().await?;
    for table in ["conversations", "call_daily", "call_totals", "agents", "tenants"] {
        run(connection, &format!("vacuum analyze {table}")).await?;
    }
    Ok(())
}
