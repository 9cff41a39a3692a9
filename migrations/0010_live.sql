-- What happens to calls as a whole, for those who watch a tenant's calls: one row a change, kept about an hour.
--
-- A number would be no cursor: of two transactions the later one may commit first. A reader holds a snapshot instead, and what it has not
-- seen yet are the rows whose transaction that snapshot does not see.
create table call_changes (
    tenant_id uuid not null,
    id bigint generated always as identity,
    conversation_id uuid not null,
    kind text not null check (kind in ('ringing', 'active', 'moved', 'ended')),
    at timestamptz not null default clock_timestamp(),
    xid xid8 not null default pg_current_xact_id(),
    primary key (tenant_id, id),
    foreign key (tenant_id, conversation_id) references conversations on delete cascade
);
comment on column call_changes.kind is 'The status that the conversation got, or moved: to another node.';
create index on call_changes (tenant_id, xid);
create index on call_changes (tenant_id, at);

alter table call_changes enable row level security;
alter table call_changes force row level security;
revoke all on call_changes from public, anon, authenticated;
create policy service on call_changes to trunkline_service using (tenant_id = app_tenant()) with check (tenant_id = app_tenant());
grant select, insert, update, delete on call_changes to trunkline_service; -- update: for the rows' locks alone

-- Here and not in the program, so that whatever changes a conversation is seen. A conversation that is written when it is over has never
-- been a call that one could watch.
create function note_call_change() returns trigger
    language plpgsql set search_path = ''
    as $$
    begin
        insert into public.call_changes (tenant_id, conversation_id, kind) values (new.tenant_id, new.id,
            case when new.status in ('completed', 'failed') then 'ended'
                when tg_op = 'INSERT' or new.status is distinct from old.status then new.status
                else 'moved' end);
        -- A tenant's own calls sweep what is old, a little at a time, and nobody waits for a row that another sweeps.
        if tg_op = 'INSERT' then
            delete from public.call_changes where tenant_id = new.tenant_id and id in (
                select c.id from public.call_changes c
                where c.tenant_id = new.tenant_id and c.at < now() - interval '1 hour'
                order by c.at limit 100 for update skip locked);
        end if;
        return null;
    end
    $$;

create trigger live_insert after insert on conversations for each row
    when (new.status in ('ringing', 'active')) execute function note_call_change();
create trigger live_update after update of status, node on conversations for each row
    when (old.status is distinct from new.status or old.node is distinct from new.node) execute function note_call_change();

alter table sse_tickets add column session_expires_at timestamptz;
comment on column sse_tickets.user_id is 'Whoever asked for it, as the audit log names them.';
comment on column sse_tickets.session_expires_at is 'When what it was asked for with expires: the stream ends then. Null: never.';
create index on sse_tickets (tenant_id, expires_at);
