-- The first schema.
--
-- A run has a number in this file. A checkpoint's key is that number * 2^32 + seq: one clustered range holds a
-- run's checkpoints in order, and needs no index of its own.
-- What never changes about a run stands in `runs`, what every commit changes in `heads`: SQLite writes a changed
-- row whole, and a manifest may have 256 KiB.
-- Times are RFC 3339 text in UTC with microseconds, so that they sort as text.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

INSERT INTO meta (name, value) VALUES ('store_id', lower(hex(randomblob(16))));

CREATE TABLE runs (
    run          INTEGER PRIMARY KEY,
    run_id       TEXT NOT NULL UNIQUE,
    workflow     TEXT NOT NULL,
    thread       TEXT NOT NULL,
    manifest     TEXT NOT NULL,
    graph_hash   TEXT NOT NULL,
    key_base     TEXT NOT NULL,
    folder       TEXT,
    origin       TEXT,
    trace_id     TEXT NOT NULL,
    spec_version INTEGER NOT NULL,
    created_at   TEXT NOT NULL
);

CREATE INDEX runs_by_age ON runs (created_at, run_id);
CREATE INDEX runs_by_workflow ON runs (workflow, created_at, run_id);
CREATE INDEX runs_by_thread ON runs (thread, created_at, run_id);

CREATE TABLE heads (
    run         INTEGER PRIMARY KEY,
    epoch       INTEGER NOT NULL,
    claim_id    TEXT NOT NULL,
    runner      TEXT NOT NULL,
    head_seq    INTEGER NOT NULL,
    head_id     TEXT NOT NULL,
    head_hash   TEXT NOT NULL,
    phase       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    message     TEXT NOT NULL,
    waits       TEXT NOT NULL,
    wake_at     TEXT,
    checkpoints INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    updated_at  TEXT NOT NULL,
    alive_at    TEXT,
    -- Number of the row's last change in this file: what `changed` counts by.
    change      INTEGER NOT NULL,
    -- 1: a tombstone; it keeps the epoch, so that nothing is revived.
    deleted     INTEGER NOT NULL
);

CREATE UNIQUE INDEX heads_by_change ON heads (change);

CREATE TABLE checkpoints (
    key            INTEGER PRIMARY KEY,
    id             TEXT NOT NULL,
    parent_hash    TEXT NOT NULL,
    hash           TEXT NOT NULL,
    epoch          INTEGER NOT NULL,
    write_id       TEXT NOT NULL,
    kind           TEXT NOT NULL,
    step           TEXT NOT NULL,
    visit          INTEGER NOT NULL,
    item           INTEGER,
    next           TEXT NOT NULL,
    metadata       TEXT NOT NULL,
    created_at     TEXT NOT NULL,
    format_version INTEGER NOT NULL,
    graph_hash     TEXT NOT NULL,
    digest         TEXT NOT NULL,
    size           INTEGER NOT NULL,
    -- Last, so that listing headers does not read it.
    payload        BLOB NOT NULL
);

CREATE UNIQUE INDEX checkpoints_by_id ON checkpoints (id);

-- Commits that changed the row only: the others are recognised by the write_id on their checkpoints.
CREATE TABLE row_writes (
    run      INTEGER NOT NULL,
    write_id TEXT NOT NULL,
    PRIMARY KEY (run, write_id)
) WITHOUT ROWID;

CREATE TABLE heartbeats (
    run INTEGER PRIMARY KEY,
    at  TEXT NOT NULL
);

CREATE TABLE progress (
    run   INTEGER NOT NULL,
    task  TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (run, task)
);

CREATE TABLE signals (
    run        INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    name       TEXT NOT NULL,
    value      TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    wait       TEXT NOT NULL,
    created_at TEXT NOT NULL,
    consumed   INTEGER NOT NULL,
    PRIMARY KEY (run, number),
    UNIQUE (run, client_id)
);

CREATE INDEX signals_pending ON signals (run, number) WHERE consumed = 0;

CREATE TABLE pins (
    key INTEGER PRIMARY KEY
);

CREATE TABLE holds (
    key      INTEGER NOT NULL,
    child    TEXT NOT NULL,
    taken_at TEXT NOT NULL,
    PRIMARY KEY (key, child)
) WITHOUT ROWID;

CREATE INDEX holds_by_child ON holds (child);

CREATE TABLE gaps (
    run         INTEGER NOT NULL,
    first_seq   INTEGER NOT NULL,
    last_seq    INTEGER NOT NULL,
    hash_before TEXT NOT NULL,
    hash_after  TEXT NOT NULL,
    PRIMARY KEY (run, first_seq)
) WITHOUT ROWID;
