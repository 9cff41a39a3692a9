-- Every tenant table has tenant_id first and foreign keys that carry it: a plain one ignores row-level security, so it would accept
-- another tenant's id. Closed sets are text with a check: an enum's "=" is not leakproof and could not use an index under row-level
-- security.

create table tenants (
    id uuid primary key,
    name text not null default '',
    status text not null default 'active' check (status in ('active', 'suspended')),
    settings jsonb not null default '{}',
    created_at timestamptz not null default now()
);

create table members (
    tenant_id uuid not null references tenants,
    user_id uuid not null,
    email text,
    role text not null check (role in ('owner', 'admin', 'member', 'viewer')),
    created_at timestamptz not null default now(),
    removed_at timestamptz,
    primary key (tenant_id, user_id)
);
comment on column members.removed_at is 'Stops a token that is still valid from rejoining.';
create index on members (user_id);

create table api_keys (
    tenant_id uuid not null references tenants,
    id uuid not null,
    key_id text not null unique,
    key_hash bytea not null,
    name text not null,
    role text not null check (role in ('owner', 'admin', 'member', 'viewer')),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id)
);

create table integrations (
    id uuid primary key,
    provider text not null unique,
    name text not null,
    category text not null check (category in ('ai', 'speech', 'voice', 'telephony', 'crm'))
);
comment on table integrations is 'The catalogue: fixed ids, written by migration, readable by all.';

create table credentials (
    tenant_id uuid not null references tenants,
    id uuid not null,
    integration_id uuid not null references integrations,
    credential_name text not null check (char_length(credential_name) between 1 and 100),
    credential_type text not null check (credential_type in ('api_key', 'oauth', 'basic_auth')),
    encrypted_credentials text not null,
    key_fingerprint text not null,
    fields_set text[] not null,
    account_ref text,
    last_test_status text not null default 'not_tested' check (last_test_status in ('not_tested', 'success', 'failed')),
    last_test_error text,
    last_tested_at timestamptz,
    expires_at timestamptz,
    version int not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    primary key (tenant_id, id)
);
comment on column credentials.encrypted_credentials is 'A Fernet token of the fields as JSON.';
comment on column credentials.key_fingerprint is 'Which key of the ring encrypted it: rotation finds the rest by it.';
comment on column credentials.account_ref is 'The vendor''s name of the account, such as an AccountSid: not secret, found by look-up.';
create index on credentials (account_ref) where deleted_at is null;
create index on credentials (key_fingerprint) where deleted_at is null;

create table installations (
    tenant_id uuid not null references tenants,
    id uuid not null,
    integration_id uuid not null references integrations,
    credential_id uuid not null,
    config jsonb not null default '{}',
    is_default boolean not null default false,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, credential_id) references credentials,
    unique (tenant_id, integration_id, credential_id)
);
create unique index on installations (tenant_id, integration_id) where is_default;

create table agents (
    tenant_id uuid not null references tenants,
    id uuid not null,
    name text not null,
    is_active boolean not null default true,
    version int not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    primary key (tenant_id, id)
);
create index on agents (tenant_id, created_at desc, id desc) where deleted_at is null;

create table agent_versions (
    tenant_id uuid not null,
    agent_id uuid not null,
    version int not null,
    config jsonb not null,
    created_by text not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, agent_id, version),
    foreign key (tenant_id, agent_id) references agents
);

create table phone_numbers (
    tenant_id uuid not null references tenants,
    id uuid not null,
    provider text not null check (provider in ('twilio', 'vonage')),
    e164 text not null check (e164 ~ '^\+[1-9][0-9]{1,14}$'),
    provider_sid text,
    credential_id uuid,
    agent_id uuid,
    verified_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, credential_id) references credentials,
    foreign key (tenant_id, agent_id) references agents
);
comment on column phone_numbers.verified_at is 'The carrier''s API says that the credential''s account owns the number.';
create unique index on phone_numbers (provider, e164) where verified_at is not null;
create unique index on phone_numbers (tenant_id, provider, e164);

create table conversations (
    tenant_id uuid not null references tenants,
    id uuid not null,
    agent_id uuid not null,
    agent_version int not null,
    campaign_contact_id uuid,
    channel text not null check (channel in ('phone', 'web')),
    provider text,
    direction text not null check (direction in ('inbound', 'outbound')),
    customer_phone text,
    our_number text,
    status text not null check (status in ('ringing', 'active', 'completed', 'failed')),
    end_reason text check (end_reason in ('caller_hangup', 'agent_hangup', 'api_hangup', 'transferred', 'voicemail', 'max_duration',
        'idle', 'busy', 'no_answer', 'rejected', 'canceled', 'invalid_number', 'media_lost', 'vendor_failed', 'carrier_failed',
        'overloaded', 'drained')),
    start_time timestamptz not null,
    answered_at timestamptz,
    ending_at timestamptz,
    end_time timestamptz,
    duration_seconds int,
    sentiment text,
    outcome text,
    tags text[] not null default '{}',
    summary text,
    satisfaction_score real,
    extraction jsonb,
    context jsonb not null default '{}',
    metadata jsonb not null default '{}',
    recording_id uuid,
    search tsvector,
    node text,
    reattached int not null default 0,
    erased_at timestamptz,
    version int not null default 1,
    primary key (tenant_id, id),
    unique (id),
    foreign key (tenant_id, agent_id) references agents
);
create index on conversations (tenant_id, start_time desc, id desc);
create index on conversations (tenant_id, agent_id, start_time desc, id desc);
create index on conversations (tenant_id, status, start_time desc, id desc);
create index on conversations (tenant_id) where status in ('ringing', 'active');
create index on conversations using gin (search);

create table call_legs (
    tenant_id uuid not null,
    conversation_id uuid not null,
    id uuid not null,
    provider text not null,
    provider_call_id text,
    kind text not null check (kind in ('customer', 'media', 'consult')),
    status text not null,
    status_rank int not null,
    last_seq int,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, conversation_id) references conversations on delete cascade,
    unique (provider, provider_call_id)
);
create index on call_legs (tenant_id, conversation_id);

create table stream_tokens (
    hash bytea primary key,
    tenant_id uuid not null,
    conversation_id uuid not null,
    expires_at timestamptz not null,
    used_by text,
    foreign key (tenant_id, conversation_id) references conversations on delete cascade
);
create index on stream_tokens (tenant_id, conversation_id);

create table sse_tickets (
    hash bytea primary key,
    tenant_id uuid not null references tenants,
    user_id text not null,
    expires_at timestamptz not null,
    used_at timestamptz
);

create table deepgram_callbacks (
    hash bytea primary key,
    tenant_id uuid not null,
    conversation_id uuid not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    foreign key (tenant_id, conversation_id) references conversations on delete cascade
);

create table turns (
    tenant_id uuid not null,
    conversation_id uuid not null,
    seq int not null,
    speaker text not null check (speaker in ('agent', 'customer')),
    started_ms int not null,
    ended_ms int,
    text text not null,
    generated_text text,
    interrupted boolean not null default false,
    language text,
    source text not null,
    latency jsonb,
    primary key (tenant_id, conversation_id, seq),
    foreign key (tenant_id, conversation_id) references conversations on delete cascade
);
comment on column turns.text is 'What was heard; what was said beyond it is in generated_text.';

create table conversation_events (
    tenant_id uuid not null,
    conversation_id uuid not null,
    seq int not null,
    at_ms int not null,
    kind text not null,
    data jsonb not null,
    primary key (tenant_id, conversation_id, seq),
    foreign key (tenant_id, conversation_id) references conversations on delete cascade
);

create table recordings (
    tenant_id uuid not null,
    id uuid not null,
    conversation_id uuid not null,
    source text not null,
    location text,
    bytes bigint,
    duration_ms int,
    state text not null,
    created_at timestamptz not null default now(),
    delete_after timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, conversation_id) references conversations on delete cascade
);
create index on recordings (tenant_id, conversation_id);

create table usage_entries (
    tenant_id uuid not null references tenants,
    id uuid not null,
    conversation_id uuid,
    turn_seq int,
    provider text not null,
    kind text not null,
    quantity bigint not null,
    unit text not null,
    cost_micros bigint,
    currency text,
    wasted boolean not null default false,
    at timestamptz not null,
    primary key (tenant_id, id)
);
create index on usage_entries (tenant_id, at desc);

create table call_daily (
    tenant_id uuid not null references tenants,
    day date not null,
    agent_id uuid not null,
    direction text not null,
    status text not null,
    outcome text not null default '',
    calls bigint not null,
    seconds bigint not null,
    score_sum double precision not null,
    score_n bigint not null,
    latency_hist bigint[] not null,
    primary key (tenant_id, day, agent_id, direction, status, outcome)
);

create table idempotency_keys (
    tenant_id uuid not null references tenants,
    route text not null,
    key text not null,
    body_hmac bytea not null,
    state text not null check (state in ('running', 'done')),
    status int,
    response text,
    expires_at timestamptz not null,
    primary key (tenant_id, route, key)
);
comment on column idempotency_keys.response is 'Encrypted like a credential.';

create table audit_log (
    tenant_id uuid not null references tenants,
    id uuid not null,
    at timestamptz not null default now(),
    actor text not null,
    action text not null,
    target_kind text not null,
    target_id text,
    details jsonb not null default '{}',
    primary key (tenant_id, id)
);
create index on audit_log (tenant_id, at desc, id desc);

create table webhook_receipts (
    provider text not null,
    dedupe_key text not null,
    at timestamptz not null default now(),
    primary key (provider, dedupe_key)
);

create table slots (
    tenant_id uuid not null references tenants,
    kind text not null,
    holder uuid not null,
    expires_at timestamptz not null,
    primary key (tenant_id, kind, holder)
);
comment on table slots is 'Leases. Kind call: the holder is a conversation that some node keeps alive.';
