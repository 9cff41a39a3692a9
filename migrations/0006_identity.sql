alter table api_keys add column created_by text;
comment on column api_keys.created_by is 'Who made it, as in the audit log. Null: it is older than this column.';
comment on column api_keys.key_hash is 'HMAC-SHA256 of the whole key under API_KEY_SECRET.';
create index on api_keys (tenant_id, created_at desc, id desc) where revoked_at is null;
create index on members (tenant_id, created_at desc, user_id desc) where removed_at is null;

-- With what else is decided by: whether its tenant is served, and when its last use was written.
drop function lookup.api_key(text);
create function lookup.api_key(p_key_id text)
    returns table (tenant_id uuid, tenant_status text, id uuid, key_hash bytea, role text, expires_at timestamptz,
        revoked_at timestamptz, last_used_at timestamptz)
    language sql stable security definer set search_path = ''
    begin atomic
        select k.tenant_id, t.status, k.id, k.key_hash, k.role, k.expires_at, k.revoked_at, k.last_used_at
        from public.api_keys k join public.tenants t on t.id = k.tenant_id
        where k.key_id = p_key_id;
    end;

-- As the one with three arguments, and the tenant's beginning is the first entry of its audit log.
create function lookup.provision_tenant(p_tenant uuid, p_user uuid, p_email text, p_entry uuid)
    returns table (tenant_id uuid, created boolean)
    language plpgsql security definer set search_path = ''
    as $$
    declare
        made boolean;
    begin
        select p.created into made from lookup.provision_tenant(p_tenant, p_user, p_email) p;
        if made then
            insert into public.audit_log (tenant_id, id, actor, action, target_kind, target_id)
                values (p_tenant, p_entry, 'user:' || p_user, 'tenant.created', 'tenant', p_tenant::text);
        end if;
        return query select p_tenant, made;
    end
    $$;
grant insert on audit_log to trunkline_lookup;

do $$
declare
    f regprocedure;
begin
    foreach f in array array['lookup.api_key(text)', 'lookup.provision_tenant(uuid, uuid, text, uuid)']::regprocedure[] loop
        execute format('alter function %s owner to trunkline_lookup', f);
        execute format('revoke all on function %s from public', f);
        execute format('grant execute on function %s to trunkline_service', f);
    end loop;
end
$$;
