-- A second kind of lease: only words change.
comment on table slots is 'Leases. Kind call: the holder is a conversation that some node keeps alive. Kind renewal: the holder is a credential that some node exchanges for a session.';
