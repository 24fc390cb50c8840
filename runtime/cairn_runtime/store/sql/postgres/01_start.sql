-- The first schema.
--
-- {name} is a table in the store's schema, {=name} an index of it: both with the store's prefix.
-- A run has a number; its checkpoints are (run, seq).
-- What never changes about a run stands in `runs`, what every commit changes in `heads`: Postgres writes a changed
-- row whole. No column that a commit changes is indexed, so that the new version lies beside the old one (HOT)
-- and no index is written.
-- JSON is `json`, not `jsonb`: headers are hashed, and jsonb gives back other keys, other numbers and no \u0000.
-- Ids sort and are found by their bytes, whatever the database's language: COLLATE "C".

CREATE TABLE {meta} (
    name  text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

INSERT INTO {meta} (name, value) VALUES ('store_id', replace(gen_random_uuid()::text, '-', ''));

CREATE TABLE {runs} (
    run          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id       text COLLATE "C" NOT NULL UNIQUE,
    workflow     text COLLATE "C" NOT NULL,
    thread       text COLLATE "C" NOT NULL,
    manifest     json NOT NULL,
    graph_hash   text NOT NULL,
    key_base     text NOT NULL,
    folder       text,
    origin       json,
    trace_id     text NOT NULL,
    spec_version bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    annotations  json NOT NULL
);

CREATE INDEX {=runs_by_age} ON {runs} (created_at, run_id);
CREATE INDEX {=runs_by_workflow} ON {runs} (workflow, created_at, run_id);
CREATE INDEX {=runs_by_thread} ON {runs} (thread, created_at, run_id);

CREATE TABLE {heads} (
    run         bigint PRIMARY KEY,
    epoch       bigint NOT NULL,
    head_seq    bigint NOT NULL,
    checkpoints bigint NOT NULL,
    bytes       bigint NOT NULL,
    updated_at  timestamptz NOT NULL,
    alive_at    timestamptz,
    wake_at     timestamptz,
    -- The transaction that changed the row last: what `changed` goes by.
    change      xid8 NOT NULL,
    -- The same, once nothing more will happen in the run; null before.
    settled     xid8,
    -- A tombstone; it keeps the epoch, so that nothing is revived.
    deleted     boolean NOT NULL,
    claim_id    text NOT NULL,
    runner      text NOT NULL,
    head_id     text NOT NULL,
    head_hash   text NOT NULL,
    phase       text NOT NULL,
    reason      text NOT NULL,
    -- JSON text, because what a user's code raised may hold \u0000.
    message     json NOT NULL,
    waits       json NOT NULL
) WITH (fillfactor = 50);

CREATE INDEX {=heads_settled} ON {heads} (settled) WHERE settled IS NOT NULL;
CREATE INDEX {=heads_unsettled} ON {heads} (run) WHERE settled IS NULL;

-- Rows are inserted and deleted, never changed.
CREATE TABLE {checkpoints} (
    run            bigint NOT NULL,
    seq            bigint NOT NULL,
    epoch          bigint NOT NULL,
    visit          bigint NOT NULL,
    item           bigint,
    format_version bigint NOT NULL,
    size           bigint NOT NULL,
    created_at     timestamptz NOT NULL,
    id             text COLLATE "C" NOT NULL,
    write_id       text NOT NULL,
    parent_hash    text NOT NULL,
    hash           text NOT NULL,
    graph_hash     text NOT NULL,
    digest         text NOT NULL,
    kind           text NOT NULL,
    step           text NOT NULL,
    next           json NOT NULL,
    metadata       json NOT NULL,
    payload        bytea NOT NULL,
    PRIMARY KEY (run, seq)
);

-- Payloads are compressed already, or random: another pass costs more than the checkpoint.
ALTER TABLE {checkpoints} ALTER COLUMN payload SET STORAGE EXTERNAL;

CREATE UNIQUE INDEX {=checkpoints_by_id} ON {checkpoints} (id);

-- Commits that changed the row only: the others are recognised by the write_id on their checkpoints.
CREATE TABLE {row_writes} (
    run      bigint NOT NULL,
    write_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (run, write_id)
);

CREATE TABLE {heartbeats} (
    run bigint PRIMARY KEY,
    at  timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE {progress} (
    run   bigint NOT NULL,
    task  text COLLATE "C" NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (run, task)
);

CREATE TABLE {signals} (
    run        bigint NOT NULL,
    number     bigint NOT NULL,
    name       text NOT NULL,
    value      json NOT NULL,
    client_id  text COLLATE "C" NOT NULL,
    wait       text NOT NULL,
    created_at timestamptz NOT NULL,
    consumed   boolean NOT NULL,
    PRIMARY KEY (run, number),
    UNIQUE (run, client_id)
);

CREATE INDEX {=signals_pending} ON {signals} (run, number) WHERE NOT consumed;

CREATE TABLE {pins} (
    run bigint NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (run, seq)
);

CREATE TABLE {holds} (
    run      bigint NOT NULL,
    seq      bigint NOT NULL,
    child    text COLLATE "C" NOT NULL,
    taken_at timestamptz NOT NULL,
    PRIMARY KEY (run, seq, child)
);

CREATE INDEX {=holds_by_child} ON {holds} (child);

CREATE TABLE {gaps} (
    run         bigint NOT NULL,
    first_seq   bigint NOT NULL,
    last_seq    bigint NOT NULL,
    hash_before text NOT NULL,
    hash_after  text NOT NULL,
    PRIMARY KEY (run, first_seq)
);
