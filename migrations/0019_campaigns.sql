-- Numbers that a tenant calls no more, whoever asks for it.
create table do_not_call (
    tenant_id uuid not null references tenants,
    e164 text not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, e164)
);
create index on do_not_call (tenant_id, created_at desc, e164 desc);

-- Many people whom an agent calls.
create table campaigns (
    tenant_id uuid not null references tenants,
    id uuid not null,
    name text not null,
    agent_id uuid not null,
    from_number text,
    status text not null default 'draft' check (status in ('draft', 'running', 'paused', 'completed')),
    paused_reason text,
    concurrency int not null check (concurrency >= 1),
    calls_per_second double precision not null check (calls_per_second > 0),
    ring_timeout_s int not null,
    calling_hours jsonb not null,
    timezone text not null,
    retry jsonb not null,
    zones text[] not null default '{}',
    duplicates bigint not null default 0,
    do_not_call bigint not null default 0,
    next_call_at timestamptz not null default clock_timestamp(),
    rests_until timestamptz not null default clock_timestamp(),
    started_at timestamptz,
    completed_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, id),
    foreign key (tenant_id, agent_id) references agents
);
comment on column campaigns.paused_reason is 'Why the service has paused it: nobody could have been called.';
comment on column campaigns.retry is 'By outcome: max_attempts, of a contact in all, and delay_s.';
comment on column campaigns.zones is 'The time zones that its contacts have; an empty text is that of the campaign.';
comment on column campaigns.duplicates is 'How many contacts were left out as they were there already. do_not_call: as their numbers are on that list.';
comment on column campaigns.next_call_at is 'When its calls per second let it call again.';
comment on column campaigns.rests_until is 'Until then there is nothing to do for it, as far as is known.';
create index on campaigns (rests_until) where status = 'running';
create index on campaigns (tenant_id, created_at desc, id desc);
create index on campaigns (tenant_id, agent_id);

create table contacts (
    tenant_id uuid not null,
    campaign_id uuid not null,
    id uuid not null,
    e164 text not null,
    timezone text not null default '',
    context jsonb not null default '{}',
    status text not null default 'pending' check (status in ('pending', 'calling', 'done')),
    outcome text check (outcome in ('answered', 'voicemail', 'busy', 'no_answer', 'rejected', 'invalid_number', 'failed', 'canceled',
        'do_not_call')),
    attempts int not null default 0,
    last_attempt int not null default 0,
    due_at timestamptz not null default clock_timestamp(),
    created_at timestamptz not null default clock_timestamp(),
    done_at timestamptz,
    primary key (tenant_id, id),
    unique (tenant_id, campaign_id, e164),
    foreign key (tenant_id, campaign_id) references campaigns on delete cascade,
    check ((status = 'done') = (outcome is not null))
);
comment on column contacts.timezone is 'Its own; empty: that of the campaign.';
comment on column contacts.outcome is 'The final one: there is one, once it is done.';
comment on column contacts.attempts is 'How often it was called. last_attempt: the number of the last attempt, those included that came to no call.';
create index on contacts (tenant_id, campaign_id, timezone, due_at, id) where status = 'pending';
create index on contacts (tenant_id, campaign_id, status, outcome, id);

create table contact_attempts (
    tenant_id uuid not null,
    contact_id uuid not null,
    number int not null,
    campaign_id uuid not null,
    conversation_id uuid,
    outcome text check (outcome in ('answered', 'voicemail', 'busy', 'no_answer', 'rejected', 'invalid_number', 'failed', 'canceled',
        'not_placed')),
    error text,
    started_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    primary key (tenant_id, contact_id, number),
    foreign key (tenant_id, contact_id) references contacts on delete cascade,
    check ((outcome is null) = (ended_at is null))
);
comment on column contact_attempts.outcome is 'Null while it is under way. not_placed: the carrier was not asked, and it does not count.';
comment on column contact_attempts.error is 'Why no call was placed. Nothing secret and nothing personal.';
create unique index on contact_attempts (tenant_id, conversation_id);

comment on table slots is 'Leases. Kind call: the holder is a conversation that some node keeps alive. Kind renewal: the holder is a credential that some node exchanges for a session. Kind campaign: the holder is a conversation of a campaign, until its carrier says that it is over.';

do $$
declare
    name text;
begin
    foreach name in array array['do_not_call', 'campaigns', 'contacts', 'contact_attempts'] loop
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

-- What the end of a conversation is to the contact that was called, in the transaction in which it ends: whoever ends it, in whichever
-- place, cannot forget to, and a contact is not called again for a call that is not over.
create function settle_attempt() returns trigger
    language plpgsql set search_path = ''
    as $$
    declare
        the_outcome text;
        the_contact uuid;
        policy jsonb;
    begin
        the_outcome := case
            when new.end_reason in ('busy', 'no_answer', 'rejected', 'invalid_number', 'voicemail') then new.end_reason
            when new.status = 'completed' then 'answered'
            -- Whoever was to place it died, or was told not to.
            when new.end_reason = 'canceled' and new.ending_reason is distinct from 'api_hangup' and exists (
                select from public.dials d
                where d.tenant_id = new.tenant_id and d.conversation_id = new.id and d.sent_at is null) then 'not_placed'
            when new.end_reason in ('canceled', 'api_hangup') then 'canceled'
            else 'failed'
        end;
        update public.contact_attempts a set outcome = the_outcome, ended_at = new.end_time
            where a.tenant_id = new.tenant_id and a.conversation_id = new.id and a.outcome is null
            returning a.contact_id into the_contact;
        if found then
            select c.retry -> the_outcome into policy
                from public.contacts t join public.campaigns c on c.tenant_id = t.tenant_id and c.id = t.campaign_id
                where t.tenant_id = new.tenant_id and t.id = the_contact;
            update public.contacts t
                set status = case when again.is then 'pending' else 'done' end,
                    outcome = case when again.is then null else the_outcome end,
                    done_at = case when again.is then null else clock_timestamp() end,
                    attempts = t.attempts + (the_outcome <> 'not_placed')::int,
                    due_at = clock_timestamp() + make_interval(secs => coalesce((policy ->> 'delay_s')::double precision, 0))
                from (
                    select t.id, the_outcome = 'not_placed' or coalesce((policy ->> 'max_attempts')::int, 0) > t.attempts + 1 as is
                    from public.contacts t where t.tenant_id = new.tenant_id and t.id = the_contact) again
                where t.tenant_id = new.tenant_id and t.id = again.id and t.status = 'calling';
        end if;
        delete from public.slots s
            where s.tenant_id = new.tenant_id and s.kind = 'campaign' and s.holder = new.id
                -- A call that went to somebody else is theirs.
                and (new.end_reason = 'transferred' or not exists (
                    select from public.call_legs l
                    where l.tenant_id = new.tenant_id and l.conversation_id = new.id and l.kind = 'customer' and l.status_rank < 4));
        return null;
    end
    $$;
create trigger campaign_update after update of end_time on conversations for each row
    when (new.campaign_contact_id is not null and new.end_time is not null and old.end_time is null)
    execute function settle_attempt();

-- The carrier's word comes before the conversation's end, or after it: whichever is the later gives the slot back. Both lock the
-- conversation first.
create function release_campaign_slot() returns trigger
    language plpgsql set search_path = ''
    as $$
    begin
        delete from public.slots s
            where s.tenant_id = new.tenant_id and s.kind = 'campaign' and s.holder = new.conversation_id and exists (
                select from public.conversations c
                where c.tenant_id = new.tenant_id and c.id = new.conversation_id and c.end_time is not null);
        return null;
    end
    $$;
create trigger campaign_update after update of status_rank on call_legs for each row
    when (new.kind = 'customer' and new.status_rank = 4 and old.status_rank < 4) execute function release_campaign_slot();

-- Up to so many campaigns that run and may have somebody to call.
create function lookup.due_campaigns(p_n int)
    returns table (tenant_id uuid, id uuid)
    language sql stable security definer set search_path = ''
    begin atomic
        select c.tenant_id, c.id from public.campaigns c join public.tenants t on t.id = c.tenant_id
        where c.status = 'running' and c.rests_until <= now() and t.status = 'active' order by c.rests_until limit p_n;
    end;

do $$
declare
    f constant regprocedure := 'lookup.due_campaigns(int)';
begin
    execute format('alter function %s owner to trunkline_lookup', f);
    execute format('revoke all on function %s from public', f);
    execute format('grant execute on function %s to trunkline_service', f);
end
$$;
