-- Calls that we place. A carrier that was asked and did not answer may have dialled all the same: until a dial is settled, nobody knows,
-- and nobody dials that pair of numbers again.
create table dials (
    tenant_id uuid not null,
    conversation_id uuid not null,
    provider text not null,
    from_number text,
    to_number text,
    state text not null default 'queued' check (state in ('queued', 'sent', 'placed', 'refused')),
    held_until timestamptz not null,
    sent_at timestamptz,
    settled_at timestamptz,
    answered_by text check (answered_by in ('human', 'machine', 'machine_ready', 'fax', 'call_screening', 'unknown')),
    idempotency_key text,
    created_at timestamptz not null default now(),
    primary key (tenant_id, conversation_id),
    foreign key (tenant_id, conversation_id) references conversations on delete cascade,
    check ((settled_at is null) = (state in ('queued', 'sent'))),
    -- The conversation keeps the numbers, and is what forgets them.
    check ((settled_at is null) = (from_number is not null and to_number is not null))
);
comment on table dials is 'What became of asking a carrier to place a call.';
comment on column dials.state is 'queued: the carrier was not asked. sent: it may have been. placed: it has the call, whose leg names it. refused: it has not.';
comment on column dials.held_until is 'Until then somebody sees to it; then anybody may.';
comment on column dials.answered_by is 'What the carrier''s detection has said of who answered.';
create unique index dials_pair on dials (tenant_id, provider, from_number, to_number) where settled_at is null;
create unique index dials_key on dials (tenant_id, idempotency_key) where idempotency_key is not null;
create index on dials (held_until) where settled_at is null;

alter table dials enable row level security;
alter table dials force row level security;
revoke all on dials from public, anon, authenticated;
create policy service on dials to trunkline_service using (tenant_id = app_tenant()) with check (tenant_id = app_tenant());
grant select, insert, update, delete on dials to trunkline_service;
create policy lookup on dials to trunkline_lookup using (true) with check (true);
grant select on dials to trunkline_lookup;

-- When an account may place its next call, whichever tenants have the account and whichever nodes ask.
create table carrier_turns (
    provider text not null,
    account text not null,
    next_at timestamptz not null,
    primary key (provider, account)
);
alter table carrier_turns enable row level security;
alter table carrier_turns force row level security;
revoke all on carrier_turns from public, anon, authenticated;
create policy lookup on carrier_turns to trunkline_lookup using (true) with check (true);
grant select, insert, update on carrier_turns to trunkline_lookup;

-- Takes an account's next turn, if that is not further away than `p_patience`: how long until then, in seconds. Not granted: how long
-- until one might be.
create function lookup.call_turn(p_provider text, p_account text, p_every interval, p_patience interval)
    returns table (granted boolean, wait double precision)
    language plpgsql volatile security definer set search_path = ''
    as $$
    declare
        turn timestamptz;
    begin
        insert into public.carrier_turns as t (provider, account, next_at)
            values (p_provider, p_account, clock_timestamp() + p_every)
            on conflict (provider, account) do update set next_at = greatest(t.next_at, clock_timestamp()) + p_every
                where t.next_at <= clock_timestamp() + p_patience
            returning t.next_at - p_every into turn;
        granted := turn is not null;
        if not granted then
            select t.next_at - p_patience into turn from public.carrier_turns t
                where t.provider = p_provider and t.account = p_account;
        end if;
        wait := greatest(0, extract(epoch from turn - clock_timestamp()));
        return next;
    end
    $$;

-- Up to so many dials that nobody sees to, and that are not settled.
create function lookup.unsettled_dials(p_n int)
    returns table (tenant_id uuid, conversation_id uuid)
    language sql stable security definer set search_path = ''
    begin atomic
        select d.tenant_id, d.conversation_id from public.dials d
        where d.settled_at is null and d.held_until < now() order by d.held_until limit p_n;
    end;

do $$
declare
    f regprocedure;
begin
    foreach f in array array['lookup.call_turn(text, text, interval, interval)', 'lookup.unsettled_dials(int)']::regprocedure[] loop
        execute format('alter function %s owner to trunkline_lookup', f);
        execute format('revoke all on function %s from public', f);
        execute format('grant execute on function %s to trunkline_service', f);
    end loop;
end
$$;
