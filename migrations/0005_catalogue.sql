-- The ids are fixed: clients and tests may hold on to them.
insert into integrations (id, provider, name, category) values
    ('01900000-0000-7000-8000-000000000001', 'openai', 'OpenAI', 'ai'),
    ('01900000-0000-7000-8000-000000000002', 'claude', 'Claude', 'ai'),
    ('01900000-0000-7000-8000-000000000003', 'deepgram', 'Deepgram', 'speech'),
    ('01900000-0000-7000-8000-000000000004', 'elevenlabs', 'ElevenLabs', 'voice'),
    ('01900000-0000-7000-8000-000000000005', 'twilio', 'Twilio', 'telephony'),
    ('01900000-0000-7000-8000-000000000006', 'vonage', 'Vonage', 'telephony'),
    ('01900000-0000-7000-8000-000000000007', 'salesforce', 'Salesforce', 'crm');
