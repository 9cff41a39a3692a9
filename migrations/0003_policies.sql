-- Grants are explicit: nothing is granted by default any more where Supabase hosts the database, and never was elsewhere.
do $$
declare
    name text;
    tenant_tables constant text[] := array['members', 'api_keys', 'credentials', 'installations', 'agents', 'agent_versions',
        'phone_numbers', 'conversations', 'call_legs', 'stream_tokens', 'sse_tickets', 'deepgram_callbacks', 'turns',
        'conversation_events', 'recordings', 'usage_entries', 'call_daily', 'idempotency_keys', 'audit_log', 'slots'];
    -- What is written once and never changed.
    append_only constant text[] := array['agent_versions', 'audit_log'];
begin
    foreach name in array tenant_tables || array['tenants', 'integrations', 'webhook_receipts'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format('revoke all on %I from public, anon, authenticated', name);
        -- The look-up functions read across tenants; nothing else runs as their role.
        execute format('grant select on %I to trunkline_lookup', name);
        execute format('create policy lookup on %I to trunkline_lookup using (true) with check (true)', name);
    end loop;

    foreach name in array tenant_tables loop
        execute format('create policy service on %I to trunkline_service using (tenant_id = app_tenant())
            with check (tenant_id = app_tenant())', name);
        if name = any (append_only) then
            execute format('grant select, insert on %I to trunkline_service', name);
        else
            execute format('grant select, insert, update, delete on %I to trunkline_service', name);
        end if;
    end loop;
end
$$;

create policy service on tenants to trunkline_service using (id = app_tenant()) with check (id = app_tenant());
grant select, update on tenants to trunkline_service;

create policy service on integrations for select to trunkline_service using (true);
create policy frontend on integrations for select to authenticated using (true);
grant select on integrations to trunkline_service, authenticated;

create policy service on webhook_receipts to trunkline_service using (true) with check (true);
grant select, insert, delete on webhook_receipts to trunkline_service;

grant insert on tenants, members to trunkline_lookup;
