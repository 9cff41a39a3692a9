-- Roles are the cluster's, not the database's: another database may have made them already.
do $$
declare
    name text;
begin
    foreach name in array array['trunkline_service', 'trunkline_lookup', 'anon', 'authenticated', 'service_role'] loop
        if not exists (select from pg_roles where rolname = name) then
            begin
                execute format('create role %I nologin', name);
            exception when duplicate_object or unique_violation then
                null; -- made by somebody else in the meantime
            end;
        end if;
    end loop;
    -- Whoever migrates hands the look-up functions over to their role, which only a member may.
    if not (select rolsuper from pg_roles where rolname = current_user) then
        execute format('grant trunkline_lookup to %I', current_user);
    end if;
end
$$;

-- The tenant of the transaction. After a commit the setting is '', not null.
create function app_tenant() returns uuid
    language sql stable parallel safe
    return nullif(current_setting('app.tenant_id', true), '')::uuid;

create schema lookup;
revoke all on schema lookup from public;
grant usage on schema lookup to trunkline_service, authenticated;
grant usage, create on schema lookup to trunkline_lookup;
grant usage on schema public to trunkline_service, trunkline_lookup, authenticated;
