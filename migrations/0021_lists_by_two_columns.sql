-- What is listed by agent and status at once is found without reading all of the tenant's calls of that status, or all of the agent's:
-- a large tenant has a hundred thousand of each.
create index on conversations (tenant_id, agent_id, status, start_time desc, id desc);
