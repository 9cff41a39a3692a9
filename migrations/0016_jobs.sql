-- Work that is done beside requests and calls. A job is written in the transaction of what it is about, so that neither is there without
-- the other, and it is gone when it is done.
create table jobs (
    tenant_id uuid not null references tenants,
    id uuid not null,
    kind text not null check (kind in ('analysis', 'webhook')),
    subject uuid not null,
    conversation_id uuid,
    lane text,
    seq bigint not null generated always as identity,
    state text not null default 'queued' check (state in ('queued', 'running', 'dead')),
    attempts int not null default 0,
    run_at timestamptz not null default clock_timestamp(),
    worker text,
    lease_until timestamptz,
    error text,
    created_at timestamptz not null default clock_timestamp(),
    dead_at timestamptz,
    primary key (tenant_id, id),
    unique (tenant_id, kind, subject),
    foreign key (tenant_id, conversation_id) references conversations on delete cascade
);
comment on column jobs.subject is 'Which one it is about: a conversation (analysis), a delivery (webhook). There is one job of a kind for it.';
comment on column jobs.lane is 'Of the jobs of a lane one is done at a time, in the order of seq; one that is dead holds up nobody.';
comment on column jobs.attempts is 'How often it was begun. With worker it tells a claim from an earlier one.';
comment on column jobs.error is 'Why the last attempt came to nothing. Nothing secret and nothing personal.';
create index on jobs (kind, tenant_id, run_at, seq) where state = 'queued';
create index on jobs (kind, lease_until) where state = 'running';
create index on jobs (tenant_id, kind) where state = 'running';
create index on jobs (worker) where state = 'running';
create index on jobs (tenant_id, kind, lane, seq) where lane is not null and state <> 'dead';
create index on jobs (tenant_id, dead_at desc, id desc) where state = 'dead';
create index on jobs (dead_at) where state = 'dead';

-- Where a tenant wants to be told of its calls.
create table webhook_endpoints (
    tenant_id uuid not null references tenants,
    id uuid not null,
    url text not null,
    description text not null default '',
    events text[] not null,
    encrypted_secrets text not null,
    key_fingerprint text not null,
    previous_until timestamptz,
    is_enabled boolean not null default true,
    disabled_reason text,
    disabled_at timestamptz,
    failing_since timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, id)
);
comment on column webhook_endpoints.encrypted_secrets is 'A Fernet token, as in credentials: secret, and previous while that signs too.';
comment on column webhook_endpoints.failing_since is 'When the first attempt failed of those that have failed since the last success.';
create index on webhook_endpoints (tenant_id, created_at desc, id desc);

-- What an endpoint is told, or was: the log of it.
create table webhook_deliveries (
    tenant_id uuid not null,
    id uuid not null,
    endpoint_id uuid not null,
    conversation_id uuid,
    event text not null,
    payload jsonb not null,
    status text not null default 'pending' check (status in ('pending', 'delivered', 'failed')),
    attempts int not null default 0,
    response_status int,
    response_body text,
    error text,
    duration_ms int,
    created_at timestamptz not null default clock_timestamp(),
    attempted_at timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, endpoint_id) references webhook_endpoints on delete cascade,
    foreign key (tenant_id, conversation_id) references conversations on delete cascade
);
create index on webhook_deliveries (tenant_id, endpoint_id, created_at desc, id desc);
create index on webhook_deliveries (tenant_id, conversation_id);
create index on webhook_deliveries (created_at);

alter table conversations add column analyzed_at timestamptz;
comment on column conversations.analyzed_at is 'When its summary, sentiment, outcome, tags, score and extraction were written.';

do $$
declare
    name text;
begin
    foreach name in array array['jobs', 'webhook_endpoints', 'webhook_deliveries'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format('revoke all on %I from public, anon, authenticated', name);
        execute format('create policy service on %I to trunkline_service using (tenant_id = app_tenant())
            with check (tenant_id = app_tenant())', name);
        execute format('create policy lookup on %I to trunkline_lookup using (true) with check (true)', name);
        execute format('grant select, insert, update, delete on %I to trunkline_service', name);
        execute format('grant select on %I to trunkline_lookup', name);
    end loop;
end
$$;
-- Whoever claims jobs does so for all tenants at once.
grant update on jobs to trunkline_lookup;

-- A new id as the program makes them: 48 bits of time, then chance (RFC 9562, version 7).
create function uuid_v7() returns uuid
    language sql volatile parallel safe set search_path = ''
    return encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1),
        'hex')::uuid;

-- An instant as the API writes it.
create function utc_text(t timestamptz) returns text
    language sql stable parallel safe set search_path = ''
    return to_char(t at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

-- Writes what happened for each endpoint that wants to hear it, and the jobs that tell them. What follows behind a delivery that is being
-- retried is due when that is.
create function tell_webhooks(p_tenant uuid, p_conversation uuid, p_event text, p_at timestamptz, p_data jsonb) returns void
    language plpgsql set search_path = ''
    as $$
    declare
        endpoint uuid;
        delivery uuid;
        the_lane text;
    begin
        for endpoint in
            select w.id from public.webhook_endpoints w
            where w.tenant_id = p_tenant and w.is_enabled and p_event = any (w.events) order by w.id
        loop
            delivery := public.uuid_v7();
            the_lane := endpoint || ':' || p_conversation;
            insert into public.webhook_deliveries (tenant_id, id, endpoint_id, conversation_id, event, payload)
                values (p_tenant, delivery, endpoint, p_conversation, p_event,
                    jsonb_build_object('type', p_event, 'timestamp', public.utc_text(p_at), 'data', p_data));
            insert into public.jobs (tenant_id, id, kind, subject, conversation_id, lane, run_at)
                values (p_tenant, public.uuid_v7(), 'webhook', delivery, p_conversation, the_lane,
                    greatest(clock_timestamp(), (select max(j.run_at) from public.jobs j
                        where j.tenant_id = p_tenant and j.kind = 'webhook' and j.lane = the_lane and j.state <> 'dead')));
        end loop;
    end
    $$;

-- Here and not in the program, like what is noted for those who watch: whatever changes a conversation is told. What is told is what
-- erasing a conversation leaves.
create function tell_of_conversation() returns trigger
    language plpgsql set search_path = ''
    as $$
    declare
        about jsonb;
    begin
        about := jsonb_build_object('conversation_id', new.id, 'agent_id', new.agent_id, 'agent_version', new.agent_version,
            'channel', new.channel, 'provider', new.provider, 'direction', new.direction, 'status', new.status,
            'start_time', public.utc_text(new.start_time), 'answered_at', public.utc_text(new.answered_at),
            'end_time', public.utc_text(new.end_time), 'end_reason', new.end_reason, 'duration_seconds', new.duration_seconds,
            'outcome', new.outcome, 'satisfaction_score', new.satisfaction_score);
        if tg_op = 'INSERT' then
            perform public.tell_webhooks(new.tenant_id, new.id, 'call.started', new.start_time, about);
        end if;
        if new.status = 'active' and (tg_op = 'INSERT' or old.status <> 'active') then
            perform public.tell_webhooks(new.tenant_id, new.id, 'call.answered', coalesce(new.answered_at, now()), about);
        end if;
        if tg_op = 'UPDATE' then
            if new.end_time is not null and old.end_time is null then
                perform public.tell_webhooks(new.tenant_id, new.id, 'call.ended', new.end_time, about);
            end if;
            if new.analyzed_at is not null and new.analyzed_at is distinct from old.analyzed_at then
                perform public.tell_webhooks(new.tenant_id, new.id, 'call.analyzed', new.analyzed_at, about);
            end if;
        end if;
        return null;
    end
    $$;

-- A conversation that is written when it is over has never been a call that one could be told of.
create trigger webhook_insert after insert on conversations for each row
    when (new.end_time is null) execute function tell_of_conversation();
create trigger webhook_update after update of status, end_time, analyzed_at on conversations for each row
    when (old.status is distinct from new.status or old.end_time is distinct from new.end_time
        or old.analyzed_at is distinct from new.analyzed_at)
    execute function tell_of_conversation();

create function tell_of_recording() returns trigger
    language plpgsql set search_path = ''
    as $$
    begin
        perform public.tell_webhooks(new.tenant_id, new.conversation_id, 'recording.ready', clock_timestamp(), jsonb_build_object(
            'conversation_id', new.conversation_id, 'recording_id', new.id, 'source', new.source, 'duration_ms', new.duration_ms,
            'bytes', new.bytes));
        return null;
    end
    $$;
create trigger webhook_insert after insert on recordings for each row
    when (new.state = 'stored') execute function tell_of_recording();
create trigger webhook_update after update of state on recordings for each row
    when (new.state = 'stored' and old.state is distinct from 'stored') execute function tell_of_recording();

-- Takes up to p_n jobs of a kind that are due, for a worker whose lease ends unless it says again that it lives. Those come first whose
-- tenant has the fewest running, and a tenant has about p_most running at once: one with many jobs holds up nobody else. The jobs of a
-- worker that died are due again; what has killed its worker p_attempts times is dead.
create function lookup.claim_jobs(p_kind text, p_n int, p_most int, p_attempts int, p_worker text, p_lease double precision)
    returns table (tenant_id uuid, id uuid, subject uuid, conversation_id uuid, lane text, seq bigint, attempts int, created_at timestamptz)
    language plpgsql volatile security definer
    set search_path = '' set enable_seqscan = off set jit = off
    as $$
    begin
        update public.jobs j
        set state = case when j.attempts >= p_attempts then 'dead' else 'queued' end,
            dead_at = case when j.attempts >= p_attempts then now() end,
            error = 'the worker that had it died, or was cut off', worker = null, lease_until = null
        where (j.tenant_id, j.id) in (
            select e.tenant_id, e.id from public.jobs e
            where e.kind = p_kind and e.state = 'running' and e.lease_until < now()
            order by e.lease_until limit 100 for update skip locked);
        return query
            with recursive waiting as (
                (select j.tenant_id from public.jobs j where j.kind = p_kind and j.state = 'queued' order by j.tenant_id limit 1)
                union all
                select (select j.tenant_id from public.jobs j
                        where j.kind = p_kind and j.state = 'queued' and j.tenant_id > w.tenant_id order by j.tenant_id limit 1)
                from waiting w where w.tenant_id is not null
            ), candidates as (
                select d.tenant_id, d.id, d.run_at, b.running + row_number() over (partition by d.tenant_id order by d.run_at, d.seq) as turn
                from waiting w
                cross join lateral (
                    select count(*) as running from public.jobs r
                    where r.tenant_id = w.tenant_id and r.kind = p_kind and r.state = 'running') b
                cross join lateral (
                    select j.tenant_id, j.id, j.run_at, j.seq from public.jobs j
                    where j.tenant_id = w.tenant_id and j.kind = p_kind and j.state = 'queued' and j.run_at <= now()
                        -- Asked for one row at a time: as "not exists" all that wait would be read for each claim.
                        and (j.lane is null or j.seq = (
                            select min(e.seq) from public.jobs e
                            where e.tenant_id = j.tenant_id and e.kind = j.kind and e.lane = j.lane and e.state <> 'dead'))
                    order by j.run_at, j.seq limit greatest(0, p_most - b.running)) d
                where w.tenant_id is not null
            ), chosen as (
                select j.tenant_id, j.id from public.jobs j
                where (j.tenant_id, j.id) in (select c.tenant_id, c.id from candidates c order by c.turn, c.run_at limit p_n)
                    and j.state = 'queued'
                for update skip locked
            )
            update public.jobs j
            set state = 'running', attempts = j.attempts + 1, worker = p_worker, lease_until = now() + make_interval(secs => p_lease)
            from chosen c where j.tenant_id = c.tenant_id and j.id = c.id
            returning j.tenant_id, j.id, j.subject, j.conversation_id, j.lane, j.seq, j.attempts, j.created_at;
    end
    $$;

-- A worker lives and is at work on these: their leases last longer. Those that it still has.
create function lookup.keep_jobs(p_worker text, p_ids uuid[], p_lease double precision)
    returns table (tenant_id uuid, id uuid)
    language sql volatile security definer set search_path = ''
    begin atomic
        update public.jobs j set lease_until = now() + make_interval(secs => p_lease)
        where j.worker = p_worker and j.state = 'running' and j.id = any (p_ids)
        returning j.tenant_id, j.id;
    end;

-- How many jobs there are, for the operator: of no tenant in particular.
create function lookup.job_counts()
    returns table (kind text, state text, jobs bigint, oldest timestamptz)
    language sql stable security definer set search_path = ''
    begin atomic
        select j.kind, j.state, count(*), min(case when j.state = 'dead' then j.dead_at else j.created_at end)
        from public.jobs j group by j.kind, j.state;
    end;

-- Tenants that have deliveries, or jobs that gave up, from before a time; of up to p_n such rows of each.
create function lookup.old_jobs(p_before timestamptz, p_n int)
    returns table (tenant_id uuid)
    language sql stable security definer set search_path = ''
    begin atomic
        select d.tenant_id from (
            select w.tenant_id from public.webhook_deliveries w where w.created_at < p_before order by w.created_at limit p_n) d
        union
        select d.tenant_id from (
            select j.tenant_id from public.jobs j where j.state = 'dead' and j.dead_at < p_before order by j.dead_at limit p_n) d;
    end;

-- Endpoints whose secrets are encrypted with another key than the one whose fingerprint is given.
create function lookup.webhook_secrets_to_rotate(p_n int, p_fingerprint text)
    returns table (tenant_id uuid, id uuid)
    language sql stable security definer set search_path = ''
    begin atomic
        select w.tenant_id, w.id from public.webhook_endpoints w where w.key_fingerprint <> p_fingerprint limit p_n;
    end;

do $$
declare
    f regprocedure;
begin
    foreach f in array array['lookup.claim_jobs(text, int, int, int, text, double precision)', 'lookup.keep_jobs(text, uuid[], double precision)',
        'lookup.job_counts()', 'lookup.old_jobs(timestamptz, int)', 'lookup.webhook_secrets_to_rotate(int, text)']::regprocedure[]
    loop
        execute format('alter function %s owner to trunkline_lookup', f);
        execute format('revoke all on function %s from public', f);
        execute format('grant execute on function %s to trunkline_service', f);
    end loop;
    -- Nobody's to call over PostgREST.
    foreach f in array array['tell_webhooks(uuid, uuid, text, timestamptz, jsonb)', 'uuid_v7()']::regprocedure[] loop
        execute format('revoke all on function %s from public, anon, authenticated', f);
        execute format('grant execute on function %s to trunkline_service', f);
    end loop;
end
$$;
