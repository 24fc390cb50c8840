-- A SQLite store as schema 1 left it: a run that waits, with a prune, a pin, a hold and a signal, and a tombstone.
BEGIN TRANSACTION;
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
INSERT INTO "checkpoints" VALUES(4294967297,'01a20117-4c56-73f0-ba17-224c8ba73769','0000000000000000000000000000000000000000000000000000000000000000','b1cdb5ae7345c01ea963abd800cce2e8ce12a730d4a275eab6c50f90563eed82',1,'01a20117-4c56-752a-ac51-08243c72f0e4','delta','draft',1,NULL,'["check","send"]','{"tag":"täg","deep":{"list":[1,2.5,null]}}','2026-11-22T02:30:33.814395Z',1,'abababababababababababababababababababababababababababababababab','2651892fcc145dfa331b55120b78588233952f16a2e82d59a21db7d2020d2016',437,X'010034B878F80180B0098EE449E4FA5C16B17B22736571223A312C2274657874223A2278787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878227D');
INSERT INTO "checkpoints" VALUES(4294967299,'01a20117-4c59-7971-9a41-5ec9c618b7df','527543725134e26b119f17543b7e88e94aac0b05e624dc18a1795f84f5ef8804','d84bf41de16062821f2d396cf56853f736fdfa215f8eb6a02bfb6ede9232ec06',1,'01a20117-4c59-7993-a825-7e6f79134308','snapshot','draft',1,NULL,'["check","send"]','{"tag":"täg","deep":{"list":[1,2.5,null]}}','2026-11-22T02:30:33.817847Z',1,'abababababababababababababababababababababababababababababababab','65d1334b31a37de9f83a30134a3031acbbd93660e527c596387ed79205a75ef7',56,X'010128B52FFD60D3036501004402A1984F5B7E8EB12A87572B6317CA1FB07B22736571223A332C2274657874223A2278227D010062E5074F');
CREATE TABLE gaps (
    run         INTEGER NOT NULL,
    first_seq   INTEGER NOT NULL,
    last_seq    INTEGER NOT NULL,
    hash_before TEXT NOT NULL,
    hash_after  TEXT NOT NULL,
    PRIMARY KEY (run, first_seq)
) WITHOUT ROWID;
INSERT INTO "gaps" VALUES(1,2,2,'b1cdb5ae7345c01ea963abd800cce2e8ce12a730d4a275eab6c50f90563eed82','d84bf41de16062821f2d396cf56853f736fdfa215f8eb6a02bfb6ede9232ec06');
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
INSERT INTO "heads" VALUES(1,1,'01a20117-4c52-7096-8509-3c1ea1b86b35','0.1.0',3,'01a20117-4c59-7971-9a41-5ec9c618b7df','d84bf41de16062821f2d396cf56853f736fdfa215f8eb6a02bfb6ede9232ec06','Waiting','Parked','','[{"task":"sign#1","kind":"signal","name":"go"}]',NULL,3,1330,'2026-11-22T02:30:33.824905Z','2026-11-22T02:30:33.822115Z',6,0);
INSERT INTO "heads" VALUES(2,0,'','',0,'','','Pending','','','[]',NULL,0,0,'2026-11-22T02:30:33.846170Z',NULL,8,1);
CREATE TABLE heartbeats (
    run INTEGER PRIMARY KEY,
    at  TEXT NOT NULL
);
CREATE TABLE holds (
    key      INTEGER NOT NULL,
    child    TEXT NOT NULL,
    taken_at TEXT NOT NULL,
    PRIMARY KEY (key, child)
) WITHOUT ROWID;
INSERT INTO "holds" VALUES(4294967299,'child-that-never-came','2026-11-22T02:30:33.831079Z');
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('store_id','fb6b7c99fb6e6f699a1fdba82baf7fae');
CREATE TABLE pins (
    key INTEGER PRIMARY KEY
);
INSERT INTO "pins" VALUES(4294967297);
CREATE TABLE progress (
    run   INTEGER NOT NULL,
    task  TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (run, task)
);
INSERT INTO "progress" VALUES(1,'draft#1',X'68616C66');
CREATE TABLE row_writes (
    run      INTEGER NOT NULL,
    write_id TEXT NOT NULL,
    PRIMARY KEY (run, write_id)
) WITHOUT ROWID;
INSERT INTO "row_writes" VALUES(1,'01a20117-4c5d-7d96-ab50-0cb6f4ec6bce');
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
INSERT INTO "runs" VALUES(1,'0190a000-0000-7000-8000-000000000001','default/digest/6d3c1f0e','default/digest/6d3c1f0e','{"kind":"Workflow","spec":{"steps":[{"name":"a","run":"true"}]}}','abababababababababababababababababababababababababababababababab','base',NULL,NULL,'',1,'2026-11-22T02:30:33.801473Z');
INSERT INTO "runs" VALUES(2,'0190a000-0000-7000-8000-000000000002','default/digest/6d3c1f0e','default/digest/6d3c1f0e','{}','abababababababababababababababababababababababababababababababab','base',NULL,NULL,'',1,'2026-11-22T02:30:33.842114Z');
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
INSERT INTO "signals" VALUES(1,1,'go','{"x":[1,null]}','client-1','','2026-11-22T02:30:33.824905Z',0);
CREATE INDEX runs_by_age ON runs (created_at, run_id);
CREATE INDEX runs_by_workflow ON runs (workflow, created_at, run_id);
CREATE INDEX runs_by_thread ON runs (thread, created_at, run_id);
CREATE UNIQUE INDEX heads_by_change ON heads (change);
CREATE UNIQUE INDEX checkpoints_by_id ON checkpoints (id);
CREATE INDEX signals_pending ON signals (run, number) WHERE consumed = 0;
CREATE INDEX holds_by_child ON holds (child);
COMMIT;
