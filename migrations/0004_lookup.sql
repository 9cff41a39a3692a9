-- All that must be found before the tenant is known, and nothing else. Every row says whose it is.

create function lookup.member_tenants() returns setof uuid
    language sql stable security definer set search_path = ''
    begin atomic
        select m.tenant_id from public.members m
        where m.removed_at is null
            and m.user_id = (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid;
    end;

create function lookup.membership(p_user uuid, p_tenant uuid)
    returns table (tenant_id uuid, tenant_status text, role text, removed boolean)
    language sql stable security definer set search_path = ''
    begin atomic
        select t.id, t.status, m.role, m.removed_at is not null
        from public.tenants t left join public.members m on m.tenant_id = t.id and m.user_id = p_user
        where t.id = p_tenant;
    end;

-- Makes a tenant with its first member as owner. False if the tenant was there already: then nothing is changed.
create function lookup.provision_tenant(p_tenant uuid, p_user uuid, p_email text)
    returns table (tenant_id uuid, created boolean)
    language plpgsql security definer set search_path = ''
    as $$
    begin
        insert into public.tenants (id) values (p_tenant) on conflict do nothing;
        if not found then
            return query select p_tenant, false;
            return;
        end if;
        insert into public.members (tenant_id, user_id, email, role) values (p_tenant, p_user, p_email, 'owner');
        return query select p_tenant, true;
    end
    $$;

create function lookup.api_key(p_key_id text)
    returns table (tenant_id uuid, id uuid, key_hash bytea, role text, expires_at timestamptz, revoked_at timestamptz)
    language sql stable security definer set search_path = ''
    begin atomic
        select k.tenant_id, k.id, k.key_hash, k.role, k.expires_at, k.revoked_at from public.api_keys k where k.key_id = p_key_id;
    end;

create function lookup.number(p_provider text, p_e164 text)
    returns table (tenant_id uuid, id uuid, agent_id uuid, credential_id uuid)
    language sql stable security definer set search_path = ''
    begin atomic
        select n.tenant_id, n.id, n.agent_id, n.credential_id from public.phone_numbers n
        where n.provider = p_provider and n.e164 = p_e164 and n.verified_at is not null;
    end;

create function lookup.call(p_provider text, p_provider_call_id text)
    returns table (tenant_id uuid, conversation_id uuid)
    language sql stable security definer set search_path = ''
    begin atomic
        select l.tenant_id, l.conversation_id from public.call_legs l
        where l.provider = p_provider and l.provider_call_id = p_provider_call_id;
    end;

create function lookup.stream_token(p_hash bytea)
    returns table (tenant_id uuid, conversation_id uuid, expires_at timestamptz, used_by text)
    language sql stable security definer set search_path = ''
    begin atomic
        select s.tenant_id, s.conversation_id, s.expires_at, s.used_by from public.stream_tokens s where s.hash = p_hash;
    end;

create function lookup.deepgram_callback(p_hash bytea)
    returns table (tenant_id uuid, conversation_id uuid, expires_at timestamptz, used_at timestamptz)
    language sql stable security definer set search_path = ''
    begin atomic
        select d.tenant_id, d.conversation_id, d.expires_at, d.used_at from public.deepgram_callbacks d where d.hash = p_hash;
    end;

create function lookup.conversation(p_id uuid)
    returns table (tenant_id uuid)
    language sql stable security definer set search_path = ''
    begin atomic
        select c.tenant_id from public.conversations c where c.id = p_id;
    end;

create function lookup.sse_ticket(p_hash bytea)
    returns table (tenant_id uuid, user_id text, expires_at timestamptz, used_at timestamptz)
    language sql stable security definer set search_path = ''
    begin atomic
        select s.tenant_id, s.user_id, s.expires_at, s.used_at from public.sse_tickets s where s.hash = p_hash;
    end;

-- The credentials of every tenant that holds this account of this provider.
create function lookup.account_secrets(p_provider text, p_account text)
    returns table (tenant_id uuid, id uuid, encrypted_credentials text)
    language sql stable security definer set search_path = ''
    begin atomic
        select c.tenant_id, c.id, c.encrypted_credentials
        from public.credentials c join public.integrations i on i.id = c.integration_id
        where i.provider = p_provider and c.account_ref = p_account and c.deleted_at is null
        order by c.created_at limit 100;
    end;

-- What waits to be done, of a kind:
--   abandoned_call     conversations that are not over and that no node keeps alive
--   key_rotation       credentials that are encrypted with another key than the one whose fingerprint is given
create function lookup.claim_due(p_kind text, p_n int, p_argument text default null)
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
        else
            raise exception 'unknown kind %', p_kind;
        end case;
    end
    $$;

-- Conversations of the transaction's own tenant by their text. Here only because the operator is not leakproof and could not use its
-- index under row-level security.
create function lookup.search(p_query text)
    returns table (tenant_id uuid, id uuid)
    language sql stable security definer set search_path = ''
    begin atomic
        select c.tenant_id, c.id from public.conversations c
        where c.tenant_id = public.app_tenant() and c.search @@ websearch_to_tsquery('pg_catalog.simple', p_query);
    end;

do $$
declare
    f regprocedure;
begin
    for f in select p.oid::regprocedure from pg_proc p where p.pronamespace = 'lookup'::regnamespace loop
        execute format('alter function %s owner to trunkline_lookup', f);
        execute format('revoke all on function %s from public', f);
        execute format('grant execute on function %s to trunkline_service', f);
    end loop;
end
$$;
grant execute on function lookup.member_tenants() to authenticated;
grant execute on function app_tenant() to trunkline_lookup, trunkline_service;

-- A frontend reads with its user's own token, by membership.
do $$
declare
    name text;
begin
    foreach name in array array['agents', 'agent_versions', 'phone_numbers', 'conversations', 'turns', 'call_daily', 'installations']
    loop
        execute format('create policy frontend on %I for select to authenticated
            using (tenant_id in (select lookup.member_tenants()))', name);
        execute format('grant select on %I to authenticated', name);
    end loop;
    if exists (select from pg_publication where pubname = 'supabase_realtime') then
        alter publication supabase_realtime add table conversations, turns;
    end if;
end
$$;
