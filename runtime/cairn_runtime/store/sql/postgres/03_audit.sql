-- The audit: who asked for what. Lines are appended and never changed; see store.audits for the chain.

CREATE TABLE {audit} (
    number      bigint PRIMARY KEY,
    id          text COLLATE "C" NOT NULL UNIQUE,
    at          timestamptz NOT NULL,
    who         text NOT NULL,
    what        text NOT NULL,
    source      text NOT NULL,
    target      text NOT NULL,
    parent_hash text NOT NULL,
    hash        text NOT NULL
);

CREATE FUNCTION {audit_is_append_only}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append-only';
END
$$;

CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {audit}
FOR EACH STATEMENT EXECUTE FUNCTION {audit_is_append_only}();
