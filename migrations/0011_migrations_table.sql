-- The list of migrations stands where PostgREST serves tables. Databases that grant by default, as Supabase's older ones do, would
-- let anybody read and change it; its owner, who migrates, is not bound by this. Whoever runs these files by hand has no such table.
do $$
begin
    if to_regclass('public._sqlx_migrations') is not null then
        alter table public._sqlx_migrations enable row level security;
        revoke all on public._sqlx_migrations from public, anon, authenticated;
    end if;
end
$$;
