-- What rules and schedules owe. A row is written in the transaction of its event and
-- goes when it is delivered.

CREATE TABLE rules (
    name TEXT PRIMARY KEY,
    -- A rule acts on what happens after it was added.
    added_at BIGINT NOT NULL,
    -- What it did lately, for its limit, its batch and its repetitions.
    memory TEXT NOT NULL
);

CREATE TABLE delivery_sequence (
    last BIGINT NOT NULL
);
INSERT INTO delivery_sequence (last) VALUES (0);

-- `seq` is never given twice. `is_sealed` is 1 from the first try on: a batch then
-- takes no more events. `first_due_at` is what giving up counts from.
CREATE TABLE deliveries (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    rule TEXT NOT NULL,
    action TEXT NOT NULL,
    -- Of its first event.
    instance TEXT NOT NULL,
    state TEXT NOT NULL,
    is_batch INTEGER NOT NULL,
    is_sealed INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    first_due_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    tries INTEGER NOT NULL,
    tried_at BIGINT,
    error TEXT
);
CREATE INDEX deliveries_due ON deliveries (rule, state, due_at);
-- Whose turn it is, and how much is owed since when, without a look at the table.
CREATE INDEX deliveries_turn ON deliveries (rule, state, seq, due_at, created_at);

CREATE TABLE delivery_events (
    delivery INTEGER NOT NULL REFERENCES deliveries (seq),
    position INTEGER NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (delivery, position)
);

-- What a script keeps between its runs.
CREATE TABLE script_store (
    rule TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (rule, name)
);

-- When a schedule last fired for an instance.
CREATE TABLE schedules (
    name TEXT NOT NULL,
    instance TEXT NOT NULL,
    fired_at BIGINT NOT NULL,
    PRIMARY KEY (name, instance)
);
