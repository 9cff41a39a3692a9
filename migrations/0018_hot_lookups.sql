-- What is asked for with every request and every webhook. A function in SQL that runs as somebody else is parsed and planned each time
-- that it is called, which takes several times as long as reading its one row; one in PL/pgSQL keeps its plan for as long as its
-- connection lasts.

create or replace function lookup.membership(p_user uuid, p_tenant uuid)
    returns table (tenant_id uuid, tenant_status text, role text, removed boolean)
    language plpgsql stable security definer set search_path = ''
    as $$
    begin
        return query
            select t.id, t.status, m.role, m.removed_at is not null
            from public.tenants t left join public.members m on m.tenant_id = t.id and m.user_id = p_user
            where t.id = p_tenant;
    end
    $$;

create or replace function lookup.api_key(p_key_id text)
    returns table (tenant_id uuid, tenant_status text, id uuid, key_hash bytea, role text, expires_at timestamptz,
        revoked_at timestamptz, last_used_at timestamptz)
    language plpgsql stable security definer set search_path = ''
    as $$
    begin
        return query
            select k.tenant_id, t.status, k.id, k.key_hash, k.role, k.expires_at, k.revoked_at, k.last_used_at
            from public.api_keys k join public.tenants t on t.id = k.tenant_id
            where k.key_id = p_key_id;
    end
    $$;

create or replace function lookup.number(p_provider text, p_e164 text)
    returns table (tenant_id uuid, id uuid, agent_id uuid, credential_id uuid)
    language plpgsql stable security definer set search_path = ''
    as $$
    begin
        return query
            select n.tenant_id, n.id, n.agent_id, n.credential_id from public.phone_numbers n
            where n.provider = p_provider and n.e164 = p_e164 and n.verified_at is not null;
    end
    $$;

create or replace function lookup.call(p_provider text, p_provider_call_id text)
    returns table (tenant_id uuid, conversation_id uuid)
    language plpgsql stable security definer set search_path = ''
    as $$
    begin
        return query
            select l.tenant_id, l.conversation_id from public.call_legs l
            where l.provider = p_provider and l.provider_call_id = p_provider_call_id;
    end
    $$;

create or replace function lookup.conversation(p_id uuid)
    returns table (tenant_id uuid)
    language plpgsql stable security definer set search_path = ''
    as $$
    begin
        return query select c.tenant_id from public.conversations c where c.id = p_id;
    end
    $$;

-- As it was, and whether many of the newest match is asked of fewer of them: it is most of what a search for a rare word costs.
create or replace function lookup.search(p_query text, p_agent uuid, p_status text, p_direction text, p_outcome text, p_from timestamptz,
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
            is_read := (select count(*) >= 25 from (
                select c.* from public.conversations c
                where c.tenant_id = t and c.start_time >= since and c.start_time < before
                order by c.start_time desc, c.id desc limit 250) c
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

-- What a dashboard adds up, without the rows' histograms: a large tenant has tens of thousands of rows in three months. A call that ends
-- pays for it with an entry in this index.
create index on call_daily (tenant_id, day) include (outcome, status, calls, seconds, score_sum, score_n);
