-- What waits to be removed is found by when it expires.
create index on idempotency_keys (expires_at);

-- Tenants, up to so many, that have keys which have expired.
create function lookup.expired_idempotency_keys(p_n int)
    returns table (tenant_id uuid)
    language sql stable security definer set search_path = ''
    begin atomic
        select distinct k.tenant_id from (
            select i.tenant_id from public.idempotency_keys i where i.expires_at < now() order by i.expires_at limit p_n) k;
    end;

do $$
declare
    f constant regprocedure := 'lookup.expired_idempotency_keys(int)';
begin
    execute format('alter function %s owner to trunkline_lookup', f);
    execute format('revoke all on function %s from public', f);
    execute format('grant execute on function %s to trunkline_service', f);
end
$$;
