-- A row for each piece of a call's audio. A call that came back on another node has several, and each says where it begins.
alter table recordings
    add column begins_ms int not null default 0,
    add column retry_at timestamptz,
    add constraint recordings_source check (source in ('call', 'carrier')),
    add constraint recordings_state check (state in ('recording', 'uploading', 'stored', 'failed', 'deleting'));
comment on column recordings.source is 'call: made here, from what was heard. carrier: made by the carrier, and kept there.';
comment on column recordings.location is 'Of call: the key in the object store. Of carrier: what the carrier knows it by.';
comment on column recordings.state is 'deleting: nobody may have it any more; the row goes when the object is gone.';
comment on column recordings.begins_ms is 'Where it begins, in milliseconds since the answer.';
comment on column recordings.retry_at is 'Not to be deleted before this: the store did not do it.';
comment on column recordings.delete_after is 'By settings.retention.recordings_days of its tenant. Null: it stays until it is erased.';

-- A carrier tells of a recording more than once.
create unique index on recordings (tenant_id, location) where source = 'carrier';
-- What upkeep finds due.
create index on recordings (retry_at nulls first) where state = 'deleting';
create index on recordings (delete_after) where state = 'stored' and delete_after is not null;
create index on recordings (created_at) where state in ('recording', 'uploading');

-- Recordings that wait for something, of all tenants: to be deleted, because that was asked for or their time is over, or to be given
-- up, because their call has long been over and no node has brought them.
create function lookup.recordings_due(p_n int)
    returns table (tenant_id uuid, id uuid)
    language sql stable security definer set search_path = ''
    begin atomic
        (select r.tenant_id, r.id from public.recordings r
         where r.state = 'deleting' and (r.retry_at is null or r.retry_at <= now())
         order by r.retry_at nulls first limit p_n)
        union all
        (select r.tenant_id, r.id from public.recordings r
         where r.state = 'stored' and r.delete_after <= now()
         order by r.delete_after limit p_n)
        union all
        (select r.tenant_id, r.id from public.recordings r
         join public.conversations c on c.tenant_id = r.tenant_id and c.id = r.conversation_id
         where r.source = 'call' and r.state in ('recording', 'uploading')
             and c.end_time < now() - case r.state when 'recording' then interval '1 hour' else interval '7 days' end
         order by r.created_at limit p_n);
    end;

-- What a recording was heard as when it was transcribed anew: the newest such transcript of a conversation, beside the one that was
-- heard live.
create table retranscriptions (
    tenant_id uuid not null,
    conversation_id uuid not null,
    state text not null check (state in ('requested', 'done', 'failed')),
    requested_at timestamptz not null default now(),
    completed_at timestamptz,
    model text not null,
    entries jsonb not null default '[]',
    primary key (tenant_id, conversation_id),
    foreign key (tenant_id, conversation_id) references conversations on delete cascade
);
create index on deepgram_callbacks (tenant_id, conversation_id);

alter table retranscriptions enable row level security;
alter table retranscriptions force row level security;
revoke all on retranscriptions from public, anon, authenticated;
create policy service on retranscriptions to trunkline_service using (tenant_id = app_tenant()) with check (tenant_id = app_tenant());
grant select, insert, update, delete on retranscriptions to trunkline_service;

do $$
declare
    f constant regprocedure := 'lookup.recordings_due(int)';
begin
    execute format('alter function %s owner to trunkline_lookup', f);
    execute format('revoke all on function %s from public', f);
    execute format('grant execute on function %s to trunkline_service', f);
end
$$;
