-- What is counted while calls are written, so that nobody counts by reading calls.

-- Bounds of the buckets of call_daily.latency_hist, in milliseconds. Its first number counts what is below the first bound, each further
-- one what is at or above one bound and below the next, and the 49th what is at or above the last. Trailing zeros are left out.
create function latency_bounds() returns int[]
    language sql immutable parallel safe
    return array[100, 150, 200, 250, 300, 350, 400, 450, 500, 550, 600, 650, 700, 750, 800, 850, 900, 950, 1000, 1050, 1100, 1150, 1200,
        1250, 1300, 1350, 1400, 1450, 1500, 1600, 1700, 1800, 1900, 2000, 2250, 2500, 2750, 3000, 3500, 4000, 4500, 5000, 6000, 7000, 8000,
        10000, 15000, 30000];

-- In which buckets these latencies are.
create function latency_hist(ms int[]) returns bigint[]
    language sql immutable parallel safe
    begin atomic
        with counted as (
            select width_bucket(v, latency_bounds()) as bucket, count(*) as n from unnest(latency_hist.ms) v group by 1
        )
        select coalesce(array_agg(coalesce(c.n, 0) order by b.bucket), '{}')
        from generate_series(0, (select max(bucket) from counted)) b (bucket) left join counted c on c.bucket = b.bucket;
    end;

create aggregate concat_ms(int[]) (sfunc = array_cat, stype = int[], initcond = '{}');

-- The sum of two lists of counts, number by number, without trailing zeros.
create function add_counts(a bigint[], b bigint[]) returns bigint[]
    language sql immutable parallel safe
    begin atomic
        with summed as (
            select u.n, coalesce(u.a, 0) + coalesce(u.b, 0) as sum from unnest(add_counts.a, add_counts.b) with ordinality u (a, b, n)
        )
        select coalesce(array_agg(s.sum order by s.n), '{}') from summed s
        where s.n <= (select max(n) from summed where sum <> 0);
    end;

-- turns.latency: from the caller's last word to the first frame of the answer, in milliseconds.
create function response_ms(latency jsonb) returns int
    language sql immutable parallel safe
    return (latency #>> '{response_latency,secs}')::int * 1000 + (latency #>> '{response_latency,nanos}')::int / 1000000;

alter table conversations add column response_ms int[] not null default '{}';
comment on column conversations.response_ms is
    'How long the agent''s answers took, from the turns, when the call ended: numbers that analytics need when the turns are erased.';

-- An owner that cannot bypass row-level security would see nothing while it is forced.
alter table turns no force row level security;
alter table conversations no force row level security;

update conversations c set response_ms = t.ms
from (
    select tenant_id, conversation_id, array_agg(response_ms(latency) order by seq) as ms
    from turns where response_ms(latency) is not null group by tenant_id, conversation_id
) t
where t.tenant_id = c.tenant_id and t.conversation_id = c.id and c.end_time is not null;

-- A transcript's words, and its tenant as one more word: with it the index finds a tenant's transcripts without reading those of others.
-- A tsvector holds a megabyte; longer transcripts are searched as far as they fit.
create function search_words(tenant uuid, transcript text) returns tsvector
    language sql immutable parallel safe
    return to_tsvector('pg_catalog.simple', left(coalesce(transcript, ''), 200000)) || array_to_tsvector(array[tenant::text]);

update conversations set search = search || array_to_tsvector(array[tenant_id::text]) where search is not null;

-- What waits in the index's list is read by every search.
alter index conversations_search_idx set (gin_pending_list_limit = 256);

create index on conversations (tenant_id, direction, start_time desc, id desc);
create index on conversations (tenant_id, outcome, start_time desc, id desc) where outcome is not null;
-- What retention finds due, the oldest first.
create index on conversations (tenant_id, end_time) where erased_at is null and end_time is not null;

-- The key holds the numbers of a dashboard, which then reads nothing else. Long histograms are packed.
alter table call_daily drop constraint call_daily_pkey,
    add primary key (tenant_id, day, agent_id, direction, status, outcome) include (calls, seconds, score_sum, score_n);
alter table call_daily set (toast_tuple_target = 256, autovacuum_vacuum_scale_factor = 0.05);

-- All days of call_daily: the total of a list that no dates narrow.
create table call_totals (
    tenant_id uuid not null references tenants,
    agent_id uuid not null,
    direction text not null,
    status text not null,
    outcome text not null default '',
    calls bigint not null,
    primary key (tenant_id, agent_id, direction, status, outcome)
) with (fillfactor = 70);

-- usage_entries by UTC day. The currency is '' where the cost is unknown.
create table usage_daily (
    tenant_id uuid not null references tenants,
    day date not null,
    provider text not null,
    unit text not null,
    currency text not null default '',
    quantity bigint not null,
    wasted bigint not null,
    cost_micros bigint,
    primary key (tenant_id, day, provider, unit, currency)
) with (fillfactor = 70);
comment on column usage_daily.wasted is 'How much of the quantity came to nothing.';

do $$
declare
    name text;
begin
    foreach name in array array['call_totals', 'usage_daily'] loop
        execute format('alter table %I enable row level security', name);
        execute format('revoke all on %I from public, anon, authenticated', name);
        execute format('create policy service on %I to trunkline_service using (tenant_id = app_tenant())
            with check (tenant_id = app_tenant())', name);
        execute format('create policy lookup on %I to trunkline_lookup using (true) with check (true)', name);
        execute format('grant select, insert, update, delete on %I to trunkline_service', name);
        execute format('grant select on %I to trunkline_lookup', name);
    end loop;
end
$$;

-- What call_daily has to say: the same by reading every call that is over. For filling it, and for finding out whether it is true.
create view call_counts with (security_invoker = true) as
select c.tenant_id, (c.start_time at time zone 'UTC')::date as day, c.agent_id, c.direction, c.status, coalesce(c.outcome, '') as outcome,
    count(*) as calls, coalesce(sum(c.duration_seconds), 0)::bigint as seconds,
    coalesce(sum(c.satisfaction_score::float8), 0) as score_sum, count(c.satisfaction_score) as score_n,
    latency_hist(concat_ms(c.response_ms)) as latency_hist
from conversations c where c.end_time is not null
group by 1, 2, 3, 4, 5, 6;
revoke all on call_counts from public, anon, authenticated;
grant select on call_counts to trunkline_service;

-- What was there before.
alter table call_daily no force row level security;
alter table usage_entries no force row level security;

insert into call_daily (tenant_id, day, agent_id, direction, status, outcome, calls, seconds, score_sum, score_n, latency_hist)
select tenant_id, day, agent_id, direction, status, outcome, calls, seconds, score_sum, score_n, latency_hist from call_counts;

insert into call_totals (tenant_id, agent_id, direction, status, outcome, calls)
select tenant_id, agent_id, direction, status, outcome, sum(calls) from call_daily group by 1, 2, 3, 4, 5;

insert into usage_daily (tenant_id, day, provider, unit, currency, quantity, wasted, cost_micros)
select tenant_id, (at at time zone 'UTC')::date, provider, unit, coalesce(currency, ''), sum(quantity),
    coalesce(sum(quantity) filter (where wasted), 0), sum(cost_micros)
from usage_entries group by 1, 2, 3, 4, 5;

alter table turns force row level security;
alter table conversations force row level security;
alter table call_daily force row level security;
alter table usage_entries force row level security;
alter table call_totals force row level security;
alter table usage_daily force row level security;

-- Conversations of the transaction's own tenant by their text and the other filters, newest first: a page of ids, and how many there are,
-- of which no more than 10,001 are counted. Here only because the operator is not leakproof and could not use its index under row-level
-- security. There are two ways, and each is slow where the other is fast: reading conversations from the newest on, when few are in the
-- time that is asked for or many of the newest match; and the index, when few match. A condition that "is true" uses no index.
drop function lookup.search(text);
create function lookup.search(p_query text, p_agent uuid, p_status text, p_direction text, p_outcome text, p_from timestamptz,
        p_until timestamptz, p_limit bigint, p_offset bigint)
    returns table (tenant_id uuid, total bigint, ids uuid[])
    language plpgsql stable security definer
    set search_path = '' set plan_cache_mode = force_custom_plan set enable_seqscan = off set jit = off
    as $$
    declare
        t constant uuid := public.app_tenant();
        words constant tsquery := websearch_to_tsquery('pg_catalog.simple', p_query);
        since constant timestamptz := coalesce(p_from, '-infinity');
        before constant timestamptz := coalesce(p_until, 'infinity');
        counted constant bigint := 10001;
        few constant bigint := 20000;
        is_read boolean := false;
    begin
        if t is null or numnode(words) = 0 then
            return;
        end if;
        if p_from is not null or p_until is not null then
            is_read := (select count(*) <= few from (
                select from public.conversations c
                where c.tenant_id = t and c.start_time >= since and c.start_time < before limit few + 1) in_time);
        end if;
        if not is_read then
            is_read := (select count(*) >= 100 from (
                select c.* from public.conversations c
                where c.tenant_id = t and c.start_time >= since and c.start_time < before
                order by c.start_time desc, c.id desc limit 1000) c
            where (p_agent is null or c.agent_id = p_agent) and (p_status is null or c.status = p_status)
                and (p_direction is null or c.direction = p_direction) and (p_outcome is null or c.outcome = p_outcome)
                and c.search @@ words);
        end if;
        if is_read then
            return query
                with matches as materialized (
                    select c.id, c.start_time from public.conversations c
                    where c.tenant_id = t and c.start_time >= since and c.start_time < before
                        and ((p_agent is null or c.agent_id = p_agent) and (p_status is null or c.status = p_status)
                            and (p_direction is null or c.direction = p_direction) and (p_outcome is null or c.outcome = p_outcome)
                            and c.search @@ words) is true
                    order by c.start_time desc, c.id desc limit greatest(counted, p_offset + p_limit))
                select t, least(counted, (select count(*) from matches)),
                    array(select m.id from matches m order by m.start_time desc, m.id desc limit p_limit offset p_offset);
            return;
        end if;
        with matches as materialized (
            select c.id, c.start_time from public.conversations c
            where c.search @@ (words && quote_literal(t)::tsquery)
                and (c.tenant_id = t and c.start_time >= since and c.start_time < before
                    and (p_agent is null or c.agent_id = p_agent) and (p_status is null or c.status = p_status)
                    and (p_direction is null or c.direction = p_direction) and (p_outcome is null or c.outcome = p_outcome)) is true
            limit counted)
        select t, (select count(*) from matches),
            array(select m.id from matches m order by m.start_time desc, m.id desc limit p_limit offset p_offset)
        into tenant_id, total, ids;
        -- Too many to sort, so many of the newest are among them.
        if total = counted then
            ids := array(
                select c.id from public.conversations c
                where c.tenant_id = t and c.start_time >= since and c.start_time < before
                    and ((p_agent is null or c.agent_id = p_agent) and (p_status is null or c.status = p_status)
                        and (p_direction is null or c.direction = p_direction) and (p_outcome is null or c.outcome = p_outcome)
                        and c.search @@ words) is true
                order by c.start_time desc, c.id desc limit p_limit offset p_offset);
        end if;
        return next;
    end
    $$;

-- What waits to be done, of a kind:
--   abandoned_call     conversations that are not over and that no node keeps alive
--   key_rotation       credentials that are encrypted with another key than the one whose fingerprint is given
--   retention          conversations that their tenant's settings.retention.transcripts_days no longer keeps at the given time
create or replace function lookup.claim_due(p_kind text, p_n int, p_argument text default null)
    returns table (tenant_id uuid, id uuid)
    language plpgsql stable security definer set search_path = ''
    as $$
    begin
        case p_kind
        when 'abandoned_call' then
            return query
                select c.tenant_id, c.id from public.conversations c
                where c.status in ('ringing', 'active') and not exists (
                    select from public.slots s
                    where s.tenant_id = c.tenant_id and s.kind = 'call' and s.holder = c.id and s.expires_at > now())
                limit p_n;
        when 'key_rotation' then
            return query
                select c.tenant_id, c.id from public.credentials c
                where c.deleted_at is null and c.key_fingerprint <> p_argument
                limit p_n;
        when 'retention' then
            return query
                select due.tenant_id, due.id from public.tenants t
                cross join lateral (
                    select (case when jsonb_typeof(t.settings #> '{retention,transcripts_days}') = 'number'
                        then (t.settings #>> '{retention,transcripts_days}')::numeric end) as days) kept
                cross join lateral (
                    select c.tenant_id, c.id from public.conversations c
                    where c.tenant_id = t.id and c.erased_at is null
                        and c.end_time < p_argument::timestamptz - make_interval(days =>
                            case when kept.days between 0 and 100000 then floor(kept.days)::int end)
                    order by c.end_time limit p_n) due
                limit p_n;
        else
            raise exception 'unknown kind %', p_kind;
        end case;
    end
    $$;

do $$
declare
    f regprocedure;
begin
    for f in select p.oid::regprocedure from pg_proc p where p.pronamespace = 'lookup'::regnamespace and p.proname = 'search' loop
        execute format('alter function %s owner to trunkline_lookup', f);
        execute format('revoke all on function %s from public', f);
        execute format('grant execute on function %s to trunkline_service', f);
    end loop;
end
$$;
