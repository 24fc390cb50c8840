-- The audit: who asked for what. Lines are appended and never changed; see store.audits for the chain.

CREATE TABLE audit (
    number      INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    at          TEXT NOT NULL,
    who         TEXT NOT NULL,
    what        TEXT NOT NULL,
    source      TEXT NOT NULL,
    target      TEXT NOT NULL,
    parent_hash TEXT NOT NULL,
    hash        TEXT NOT NULL
);

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
END;

CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
END;
