-- What a carrier says of a leg, and when it was last asked. Ranks are those of one list for all carriers: queued 0, initiated 1,
-- ringing 2, answered 3, and 4 for all ends.
alter table call_legs
    add column region_url text,
    add column heard_at timestamptz not null default now(),
    add column asked_at timestamptz,
    add column asks int not null default 0;
comment on column call_legs.status_rank is 'How far the status is: what comes with a lower or equal rank is late, or a repeat.';
comment on column call_legs.last_seq is 'The highest sequence number of a carrier that counts its webhooks.';
comment on column call_legs.region_url is 'Where the call lives, at a carrier with regions: nowhere else is it known.';
comment on column call_legs.heard_at is 'When the carrier last said something of it.';
comment on column call_legs.asked_at is 'When the carrier was last asked, as it had said nothing for a while.';
comment on column call_legs.asks is 'How often it was asked since it last said something.';
update call_legs set status = case status when 'in-progress' then 'answered' when 'no-answer' then 'no_answer' else status end,
    status_rank = case when status_rank = 4 then 4 when status = 'in-progress' then 3 when status = 'ringing' then 2
        when status = 'initiated' then 1 else 0 end;
-- Those that may still be asked about.
create index on call_legs (created_at) where status_rank < 4;

alter table conversations add column ending_reason text;
comment on column conversations.ending_reason is 'Why ending_at was set: what end_reason becomes if nobody is there to say more.';

-- A receipt is found by its key, and swept by its age.
create index on webhook_receipts (at);

-- Up to so many legs that their carriers should be asked about: they have not come to an end, and their conversation is over, or ending,
-- or nobody keeps it alive, or it rings for longer than anything rings. Each question without an answer doubles the pause. A call that
-- went to somebody else is theirs.
create function lookup.quiet_legs(p_n int)
    returns table (tenant_id uuid, id uuid, conversation_id uuid)
    language sql stable security definer set search_path = ''
    begin atomic
        select l.tenant_id, l.id, l.conversation_id
        from public.call_legs l join public.conversations c on c.tenant_id = l.tenant_id and c.id = l.conversation_id
        where l.status_rank < 4 and l.provider_call_id is not null and l.created_at > now() - interval '25 hours'
            and c.end_reason is distinct from 'transferred'
            and greatest(l.heard_at, l.asked_at) < now() - least(make_interval(secs => 15 * 2 ^ least(l.asks, 10)), interval '30 minutes')
            and (c.ending_at < now() - interval '15 seconds' or c.end_time < now() - interval '15 seconds'
                or (l.status_rank < 3 and l.heard_at < now() - interval '90 seconds' and c.answered_at is null)
                or (c.end_time is null and not exists (
                    select from public.slots s
                    where s.tenant_id = c.tenant_id and s.kind = 'call' and s.holder = c.id and s.expires_at > now())))
        order by l.asked_at nulls first limit p_n;
    end;

do $$
declare
    f constant regprocedure := 'lookup.quiet_legs(int)';
begin
    execute format('alter function %s owner to trunkline_lookup', f);
    execute format('revoke all on function %s from public', f);
    execute format('grant execute on function %s to trunkline_service', f);
end
$$;
