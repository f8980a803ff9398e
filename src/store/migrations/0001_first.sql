-- Written so that SQLite and PostgreSQL both take it. Times are milliseconds
-- since the epoch. INTEGER keys are given by us, never drawn by the database.

-- What is remembered belongs to a name and an address together: a name that
-- points to another address begins anew, and finds its memory when it comes back.
CREATE TABLE instances (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    first_seen BIGINT NOT NULL,
    is_current INTEGER NOT NULL,
    UNIQUE (name, url)
);
CREATE UNIQUE INDEX instances_current ON instances (name) WHERE is_current = 1;

CREATE TABLE memory (
    instance_id INTEGER NOT NULL REFERENCES instances (id),
    poll TEXT NOT NULL,
    document TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (instance_id, poll, document)
);

-- Fingerprints of the jobs already told.
CREATE TABLE settled (
    instance_id INTEGER NOT NULL REFERENCES instances (id),
    fingerprint BIGINT NOT NULL,
    settled_at BIGINT NOT NULL,
    PRIMARY KEY (instance_id, fingerprint)
);
CREATE INDEX settled_age ON settled (settled_at);

-- `seq` rises in the order of commits and is never given twice, not even after
-- the newest events were removed: who follows the history asks for what is after
-- the last that he saw.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    instance TEXT NOT NULL,
    type TEXT NOT NULL,
    subject TEXT,
    time BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX events_time ON events (time, seq);
CREATE INDEX events_type ON events (type, seq);
CREATE INDEX events_age ON events (recorded_at);

CREATE TABLE event_sequence (
    last BIGINT NOT NULL
);
INSERT INTO event_sequence (last) VALUES (0);

CREATE TABLE tokens (
    instance_id INTEGER PRIMARY KEY REFERENCES instances (id),
    username TEXT NOT NULL,
    access_token TEXT NOT NULL,
    refresh_token TEXT NOT NULL,
    access_expires_at BIGINT NOT NULL,
    refresh_expires_at BIGINT
);
