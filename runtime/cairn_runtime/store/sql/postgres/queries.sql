-- Every statement of the Postgres store, by name.
--
-- {name} is a table with the store's schema and prefix; $name is a value, given by name.
-- A statement outside a transaction is one of its own. Where writers meet, the second waits for the first and then
-- looks at the row again (READ COMMITTED), but at no other row and no other table: every condition that decides a
-- write stands in the row of `heads` that it locks.
-- Order of locks, so that nobody waits in a circle: runs, heads, everything else.

-- name: greet
-- What every new connection asks once: which server this is, and the settings under which we write.
SELECT pg_is_in_recovery(), current_setting('server_version_num'), current_setting('server_encoding'),
       current_setting('fsync'), current_setting('synchronous_commit'), current_setting('default_transaction_read_only');

-- name: settle_in
-- For the session. `off` would acknowledge what a crash forgets; other values are kept, and kept from changing.
-- Every statement is written so that one plan does for all its values: Postgres would plan a commit of several
-- checkpoints anew each time. Compiling one is never worth it: beside a million checkpoints a load was guessed to
-- cost so much that it was compiled each time, for 15 ms.
SELECT set_config('synchronous_commit', $durability::text, false),
       set_config('jit', 'off', false),
       set_config('plan_cache_mode', 'force_generic_plan', false),
       set_config('statement_timeout', $statement_timeout::text, false),
       set_config('idle_in_transaction_session_timeout', $statement_timeout::text, false);

-- name: schema_there
SELECT to_regclass($table::text) IS NOT NULL;

-- name: meta
SELECT name, value FROM {meta};

-- name: set_meta
INSERT INTO {meta} (name, value) VALUES ($name::text, $value::text)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: namespace_there
SELECT to_regnamespace(quote_ident($schema::text)) IS NOT NULL;

-- name: lock_schema
-- One process at a time migrates; the others wait here and find it done.
SELECT pg_advisory_xact_lock(hashtextextended($place::text, 1128352082));

-- name: used_bytes
SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
WHERE relkind = 'r' AND oid = ANY (SELECT to_regclass(name) FROM unnest($tables::text[]) AS t (name));

-- name: settings
-- How the server stands, for `check`.
SELECT current_setting('server_version'), clock_timestamp(), current_setting('fsync'),
       current_setting('full_page_writes'), coalesce((SELECT d.setting FROM pg_db_role_setting s,
           unnest(s.setconfig) AS d (setting) WHERE d.setting = 'synchronous_commit=off' LIMIT 1), ''),
       coalesce((SELECT c.ssl FROM pg_stat_ssl c WHERE c.pid = pg_backend_pid()), false),
       inet_client_addr() IS NULL OR inet_client_addr() <<= '127.0.0.0/8' OR host(inet_client_addr()) = '::1';

-- name: missing_rights
SELECT t.name, r.name
FROM unnest($tables::text[]) AS t (name), unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS r (name)
WHERE NOT has_table_privilege(t.name, r.name) AND NOT (t.name LIKE '%audit"' AND r.name IN ('UPDATE', 'DELETE'));

-- name: create_run
-- One statement, so that no run is without its head. A second creation at the same time waits and does nothing.
WITH made AS (
    INSERT INTO {runs} (run_id, workflow, thread, manifest, graph_hash, key_base, folder, origin, trace_id,
                        spec_version, created_at, annotations)
    VALUES ($run_id::text, $workflow::text, $thread::text, $manifest::json, $graph_hash::text, $key_base::text,
            $folder::text, $origin::json, $trace_id::text, $spec_version::bigint, now(), $annotations::json)
    ON CONFLICT (run_id) DO NOTHING
    RETURNING run, created_at
)
INSERT INTO {heads} (run, epoch, claim_id, runner, head_seq, head_id, head_hash, phase, reason, message, waits,
                     wake_at, checkpoints, bytes, updated_at, alive_at, change, settled, deleted)
SELECT run, $epoch::bigint, $claim_id::text, '', 0, '', '', $phase::text, $reason::text, '""', '[]',
       NULL, 0, 0, created_at, NULL, pg_current_xact_id(), NULL, false
FROM made;

-- name: run_rows
-- The columns of a run's row, in the order of the class; part of the statements that say {+run_rows}.
SELECT r.run_id, r.workflow, r.thread, r.manifest, r.graph_hash, r.key_base, r.folder, r.origin, r.trace_id,
       r.spec_version, h.epoch, h.claim_id, h.head_seq, h.head_id, h.head_hash, h.phase, h.reason, h.message,
       h.waits, h.wake_at, h.checkpoints, h.bytes,
       (SELECT count(*) FROM {signals} s WHERE s.run = r.run AND NOT s.consumed) AS signals_pending,
       r.created_at, h.updated_at, greatest(h.alive_at, b.at) AS heartbeat_at, h.runner,
       r.annotations, b.metrics
FROM {runs} r JOIN {heads} h USING (run) LEFT JOIN {heartbeats} b USING (run);

-- name: run
{+run_rows}
WHERE r.run_id = $run_id::text AND NOT h.deleted;

-- name: runs_of_workflow
-- Newest first, older than the run that ends the page before, which is named by its age. Walks runs_by_workflow.
{+run_rows}
WHERE r.workflow = $workflow::text AND ($thread::text IS NULL OR r.thread = $thread) AND NOT h.deleted
  AND (r.created_at, r.run_id) < ($created_at::timestamptz, $run_id::text)
ORDER BY r.created_at DESC, r.run_id DESC LIMIT $limit::bigint;

-- name: runs_of_thread
-- Walks runs_by_thread; `prefix` is the beginning of the workflow key, perhaps nothing.
{+run_rows}
WHERE r.thread = $thread::text AND starts_with(r.workflow, $prefix::text) AND NOT h.deleted
  AND (r.created_at, r.run_id) < ($created_at::timestamptz, $run_id::text)
ORDER BY r.created_at DESC, r.run_id DESC LIMIT $limit::bigint;

-- name: runs_of_prefix
-- Walks runs_by_age.
{+run_rows}
WHERE starts_with(r.workflow, $prefix::text) AND NOT h.deleted
  AND (r.created_at, r.run_id) < ($created_at::timestamptz, $run_id::text)
ORDER BY r.created_at DESC, r.run_id DESC LIMIT $limit::bigint;

-- name: age
-- Of a tombstone too, so that a page can go on after its last run was deleted.
SELECT created_at FROM {runs} WHERE run_id = $run_id::text;

-- name: there
-- What a refused write is judged by.
SELECT h.epoch, h.claim_id, h.head_seq
FROM {runs} r JOIN {heads} h USING (run) WHERE r.run_id = $run_id::text AND NOT h.deleted;

-- name: heads
SELECT r.run_id, h.head_seq, h.head_id, h.head_hash, h.epoch, h.phase, h.updated_at,
       greatest(h.alive_at, b.at), h.wake_at,
       (SELECT count(*) FROM {signals} s WHERE s.run = r.run AND NOT s.consumed)
FROM {runs} r JOIN {heads} h USING (run) LEFT JOIN {heartbeats} b USING (run)
WHERE r.run_id = ANY ($run_ids::text[]) AND NOT h.deleted;

-- name: now
-- The cursor that a call of `changed` gives: the transactions that it saw. What began before and ended after is
-- not among them, so it is named the next time, however late it becomes visible.
-- The first column names the place: a restored or promoted server, or one that crashed, may give numbers of
-- transactions out again, and then every run is named once.
SELECT m.value || '.' || extract(epoch FROM pg_postmaster_start_time())::text
       || '.' || coalesce(extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time()), 0)::text,
       pg_current_snapshot()::text
FROM {meta} m WHERE m.name = 'store_id';

-- name: changed
-- Runs that changed by a transaction which the cursor's snapshot did not see. Unsettled runs are few and are looked
-- at one by one; the others are found by their index.
-- The cursor's snapshot has an end that is still to come where the server is another one: everything is named.
SELECT r.run_id FROM {heads} h JOIN {runs} r USING (run)
WHERE h.settled IS NULL AND h.change >= pg_snapshot_xmin($since::text::pg_snapshot)
  AND NOT pg_visible_in_snapshot(h.change, $since::text::pg_snapshot)
UNION ALL
SELECT r.run_id FROM {heads} h JOIN {runs} r USING (run)
WHERE h.settled >= pg_snapshot_xmin($since::text::pg_snapshot) AND NOT pg_visible_in_snapshot(h.settled, $since::text::pg_snapshot);

-- name: claim
-- A claim_id that is the row's already is answered by what stands there.
UPDATE {heads}
SET epoch = epoch + 1, claim_id = $claim_id::text, updated_at = now(), alive_at = now(),
    runner = CASE WHEN $runner::text = '' THEN runner ELSE $runner END,
    change = pg_current_xact_id(), settled = CASE WHEN settled IS NOT NULL THEN pg_current_xact_id() END
WHERE run = (SELECT run FROM {runs} WHERE run_id = $run_id::text)
  AND epoch = $expected_epoch::bigint AND claim_id <> $claim_id AND NOT deleted;

-- name: commit_one
-- The usual commit: one checkpoint, phase and waits as they are. Fence, head, row and insert in one statement and
-- one round trip. An epoch of 0 was never claimed.
WITH moved AS (
    UPDATE {heads}
    SET head_seq = $seq::bigint, head_id = $id::text, head_hash = $hash::text,
        checkpoints = checkpoints + 1, bytes = bytes + $size::bigint, updated_at = now(), alive_at = now(),
        change = pg_current_xact_id(), settled = CASE WHEN settled IS NOT NULL THEN pg_current_xact_id() END
    WHERE run = (SELECT run FROM {runs} WHERE run_id = $run_id::text)
      AND epoch = $epoch::bigint AND epoch > 0 AND claim_id = $claim_id::text
      AND head_seq = $expected_head::bigint AND NOT deleted
    RETURNING run
)
INSERT INTO {checkpoints} (run, seq, epoch, visit, item, format_version, size, created_at, id, write_id,
                           parent_hash, hash, graph_hash, digest, kind, step, next, metadata, payload)
SELECT run, $seq, $epoch, $visit::bigint, $item::bigint, $format_version::bigint, $size, $created_at::timestamptz,
       $id, $write_id::text, $parent_hash::text, $hash, $graph_hash::text, $digest::text, $kind::text, $step::text,
       $next::json, $metadata::json, $payload::bytea
FROM moved;

-- name: commit_many
-- Any number of checkpoints, as columns; with an outcome or without (`phase` null), and the signals it uses up.
WITH moved AS (
    UPDATE {heads}
    SET head_seq = $head_seq::bigint, head_id = $head_id::text, head_hash = $head_hash::text,
        checkpoints = checkpoints + $count::bigint, bytes = bytes + $bytes::bigint,
        updated_at = now(), alive_at = now(),
        phase = coalesce($phase::text, phase),
        reason = CASE WHEN $phase IS NULL THEN reason ELSE $reason::text END,
        message = CASE WHEN $phase IS NULL THEN message ELSE $message::json END,
        waits = CASE WHEN $phase IS NULL THEN waits ELSE $waits::json END,
        wake_at = CASE WHEN $phase IS NULL THEN wake_at ELSE $wake_at::timestamptz END,
        change = pg_current_xact_id(),
        settled = CASE WHEN coalesce($phase, phase) = ANY ($finished::text[]) THEN pg_current_xact_id() END
    WHERE run = (SELECT run FROM {runs} WHERE run_id = $run_id::text)
      AND epoch = $epoch::bigint AND epoch > 0 AND claim_id = $claim_id::text
      AND head_seq = $expected_head::bigint AND NOT deleted
    RETURNING run
), used AS (
    UPDATE {signals} s SET consumed = true
    FROM moved WHERE s.run = moved.run AND s.number = ANY ($consumed::bigint[]) AND NOT s.consumed
)
INSERT INTO {checkpoints} (run, seq, epoch, visit, item, format_version, size, created_at, id, write_id,
                           parent_hash, hash, graph_hash, digest, kind, step, next, metadata, payload)
SELECT moved.run, c.seq, $epoch, c.visit, c.item, c.format_version, c.size, c.created_at, c.id, c.write_id,
       c.parent_hash, c.hash, c.graph_hash, c.digest, c.kind, c.step, c.next::json, c.metadata::json, c.payload
FROM moved, unnest($seqs::bigint[], $visits::bigint[], $items::bigint[], $format_versions::bigint[],
                   $sizes::bigint[], $created_ats::timestamptz[], $ids::text[], $write_ids::text[],
                   $parent_hashes::text[], $hashes::text[], $graph_hashes::text[], $digests::text[],
                   $kinds::text[], $steps::text[], $nexts::text[], $metadatas::text[], $payloads::bytea[])
     AS c (seq, visit, item, format_version, size, created_at, id, write_id, parent_hash, hash, graph_hash, digest,
           kind, step, next, metadata, payload);

-- name: commit_row
-- A commit without checkpoints, which must not be applied twice. Two copies at the same time: the second does not
-- see the first one's write, and falls over the primary key.
WITH moved AS (
    UPDATE {heads} h
    SET updated_at = now(), alive_at = now(),
        phase = coalesce($phase::text, phase),
        reason = CASE WHEN $phase IS NULL THEN reason ELSE $reason::text END,
        message = CASE WHEN $phase IS NULL THEN message ELSE $message::json END,
        waits = CASE WHEN $phase IS NULL THEN waits ELSE $waits::json END,
        wake_at = CASE WHEN $phase IS NULL THEN wake_at ELSE $wake_at::timestamptz END,
        change = pg_current_xact_id(),
        settled = CASE WHEN coalesce($phase, phase) = ANY ($finished::text[]) THEN pg_current_xact_id() END
    WHERE run = (SELECT run FROM {runs} WHERE run_id = $run_id::text)
      AND epoch = $epoch::bigint AND epoch > 0 AND claim_id = $claim_id::text
      AND head_seq = $expected_head::bigint AND NOT deleted
      AND NOT EXISTS (SELECT 1 FROM {row_writes} w WHERE w.run = h.run AND w.write_id = $write_id::text)
    RETURNING run
), used AS (
    UPDATE {signals} s SET consumed = true
    FROM moved WHERE s.run = moved.run AND s.number = ANY ($consumed::bigint[]) AND NOT s.consumed
)
INSERT INTO {row_writes} (run, write_id) SELECT run, $write_id FROM moved;

-- name: import_many
-- Copies of checkpoints, with epochs of their own, and the gaps between them. The row keeps its phase.
WITH moved AS (
    UPDATE {heads}
    SET head_seq = $head_seq::bigint, head_id = $head_id::text, head_hash = $head_hash::text,
        checkpoints = checkpoints + $count::bigint, bytes = bytes + $bytes::bigint,
        updated_at = now(), alive_at = now(), change = pg_current_xact_id(),
        settled = CASE WHEN settled IS NOT NULL THEN pg_current_xact_id() END
    WHERE run = (SELECT run FROM {runs} WHERE run_id = $run_id::text)
      AND epoch = $epoch::bigint AND epoch > 0 AND claim_id = $claim_id::text
      AND head_seq = $expected_head::bigint AND NOT deleted
    RETURNING run
), gone AS (
    INSERT INTO {gaps} (run, first_seq, last_seq, hash_before, hash_after)
    SELECT moved.run, g.* FROM moved, unnest($firsts::bigint[], $lasts::bigint[], $befores::text[], $afters::text[])
        AS g (first_seq, last_seq, hash_before, hash_after)
)
INSERT INTO {checkpoints} (run, seq, epoch, visit, item, format_version, size, created_at, id, write_id,
                           parent_hash, hash, graph_hash, digest, kind, step, next, metadata, payload)
SELECT moved.run, c.seq, c.epoch, c.visit, c.item, c.format_version, c.size, c.created_at, c.id, c.write_id,
       c.parent_hash, c.hash, c.graph_hash, c.digest, c.kind, c.step, c.next::json, c.metadata::json, c.payload
FROM moved, unnest($seqs::bigint[], $epochs::bigint[], $visits::bigint[], $items::bigint[],
                   $format_versions::bigint[], $sizes::bigint[], $created_ats::timestamptz[], $ids::text[],
                   $write_ids::text[], $parent_hashes::text[], $hashes::text[], $graph_hashes::text[],
                   $digests::text[], $kinds::text[], $steps::text[], $nexts::text[], $metadatas::text[],
                   $payloads::bytea[])
     AS c (seq, epoch, visit, item, format_version, size, created_at, id, write_id, parent_hash, hash, graph_hash,
           digest, kind, step, next, metadata, payload);

-- name: written
-- By which writes the checkpoints are stored that a commit wanted to add, and where the head is: one view.
SELECT h.head_seq, c.seq, c.write_id
FROM {runs} r JOIN {heads} h USING (run)
     LEFT JOIN {checkpoints} c ON c.run = r.run AND c.seq BETWEEN $first::bigint AND $last::bigint
WHERE r.run_id = $run_id::text AND NOT h.deleted;

-- name: row_written
SELECT EXISTS (SELECT 1 FROM {row_writes} w WHERE w.run = r.run AND w.write_id = $write_id::text)
FROM {runs} r JOIN {heads} h USING (run)
WHERE r.run_id = $run_id::text AND NOT h.deleted;

-- name: annotations
-- Under the lock of lock_run. Of a deleted run there are none.
SELECT r.annotations FROM {runs} r JOIN {heads} h USING (run) WHERE r.run = $run::bigint AND NOT h.deleted;

-- name: annotate
UPDATE {runs} SET annotations = $annotations::json WHERE run = $run::bigint;

-- name: heartbeat
-- The lock makes it wait for a claim or a signal that is on its way; the time is taken after that, so that a signal
-- which is not seen after this beat has a later time. Without numbers those that are there stay.
WITH held AS MATERIALIZED (
    SELECT run FROM {heads}
    WHERE run = (SELECT run FROM {runs} WHERE run_id = $run_id::text)
      AND epoch = $epoch::bigint AND epoch > 0 AND claim_id = $claim_id::text AND NOT deleted
    FOR NO KEY UPDATE
), beat AS (
    INSERT INTO {heartbeats} AS b (run, at, metrics) SELECT run, clock_timestamp(), $metrics::json FROM held
    ON CONFLICT (run) DO UPDATE SET at = excluded.at, metrics = coalesce(excluded.metrics, b.metrics)
    RETURNING run, at
)
SELECT (SELECT count(*) FROM {signals} s WHERE s.run = beat.run AND NOT s.consumed), beat.at FROM beat;

-- name: list_checkpoints
SELECT c.seq, c.id, c.parent_hash, c.hash, c.epoch, c.write_id, c.kind, c.step, c.visit, c.item, c.next, c.metadata,
       c.created_at, c.format_version, c.graph_hash, c.digest, c.size, NULL::bytea
FROM {checkpoints} c
WHERE c.run = (SELECT run FROM {runs} WHERE run_id = $run_id::text)
  AND c.seq < $before::bigint
ORDER BY c.seq DESC LIMIT $limit::bigint;

-- name: checkpoint
SELECT r.run_id, c.seq, c.id, c.parent_hash, c.hash, c.epoch, c.write_id, c.kind, c.step, c.visit, c.item, c.next,
       c.metadata, c.created_at, c.format_version, c.graph_hash, c.digest, c.size, c.payload
FROM {checkpoints} c JOIN {runs} r USING (run)
WHERE c.id = $id::text;

-- name: find_by_beginning
-- By the beginning of the id; `beyond` is the first text after all that begin so. Walks the index.
SELECT r.run_id, c.seq, c.id, c.parent_hash, c.hash, c.epoch, c.write_id, c.kind, c.step, c.visit, c.item, c.next,
       c.metadata, c.created_at, c.format_version, c.graph_hash, c.digest, c.size, NULL::bytea
FROM {checkpoints} c JOIN {runs} r USING (run)
WHERE c.id >= $text::text AND c.id < $beyond::text AND starts_with(c.id, $text)
ORDER BY c.id DESC LIMIT $limit::bigint;

-- name: find_by_end
-- By the end of the id, which is what people see; reads the index until it joins.
SELECT r.run_id, c.seq, c.id, c.parent_hash, c.hash, c.epoch, c.write_id, c.kind, c.step, c.visit, c.item, c.next,
       c.metadata, c.created_at, c.format_version, c.graph_hash, c.digest, c.size, NULL::bytea
FROM {checkpoints} c JOIN {runs} r USING (run)
WHERE right(c.id, length($text::text)) = $text
ORDER BY c.id DESC LIMIT $limit::bigint;

-- name: load
-- From the newest snapshot at or before the seq, or from the first, up to it; one statement is one view, so that a
-- prune takes all of it or nothing. A run without any such checkpoint is one row with only the head.
SELECT h.head_seq, c.seq, c.id, c.parent_hash, c.hash, c.epoch, c.write_id, c.kind, c.step, c.visit, c.item, c.next,
       c.metadata, c.created_at, c.format_version, c.graph_hash, c.digest, c.size, c.payload
FROM {runs} r JOIN {heads} h USING (run)
     LEFT JOIN {checkpoints} c
     ON c.run = r.run AND c.seq <= coalesce($seq::bigint, h.head_seq)
        AND c.seq >= coalesce((SELECT s.seq FROM {checkpoints} s
                               WHERE s.run = r.run AND s.seq <= coalesce($seq, h.head_seq) AND s.kind = 'snapshot'
                               ORDER BY s.seq DESC LIMIT 1), 0)
WHERE r.run_id = $run_id::text AND NOT h.deleted
ORDER BY c.seq;

-- name: read
-- A page: every checkpoint before which the page has room; the first always.
SELECT c.seq, c.id, c.parent_hash, c.hash, c.epoch, c.write_id, c.kind, c.step, c.visit, c.item, c.next, c.metadata,
       c.created_at, c.format_version, c.graph_hash, c.digest, c.size, c.payload
FROM {checkpoints} c
     JOIN (SELECT t.run, t.seq, row_number() OVER w AS place, sum(t.weight) OVER w AS total
           FROM (SELECT run, seq, octet_length(payload) AS weight FROM {checkpoints}
                 WHERE run = (SELECT run FROM {runs} WHERE run_id = $run_id::text) AND seq > $after::bigint
                 ORDER BY seq LIMIT $limit::bigint) t
           WINDOW w AS (ORDER BY t.seq)) p USING (run, seq)
WHERE p.total <= $bytes::bigint OR p.place = 1
ORDER BY c.seq;

-- name: put_progress
-- The lock makes it wait for a claim that is on its way, and then look again whose the run is.
WITH held AS MATERIALIZED (
    SELECT run FROM {heads}
    WHERE run = (SELECT run FROM {runs} WHERE run_id = $run_id::text)
      AND epoch = $epoch::bigint AND epoch > 0 AND claim_id = $claim_id::text AND NOT deleted
    FOR NO KEY UPDATE
)
INSERT INTO {progress} (run, task, value) SELECT run, $task::text, $value::bytea FROM held
ON CONFLICT (run, task) DO UPDATE SET value = excluded.value;

-- name: progress
SELECT task, value FROM {progress} WHERE run = (SELECT run FROM {runs} WHERE run_id = $run_id::text);

-- name: swap_payloads
-- The same content under another key. What is new already counts as well: a repeat answers the same.
UPDATE {checkpoints} c SET payload = s.new
FROM unnest($seqs::bigint[], $olds::bytea[], $news::bytea[]) AS s(seq, old, new)
WHERE c.run = $run::bigint AND c.seq = s.seq AND c.payload IN (s.old, s.new);

-- name: swap_progress
UPDATE {progress} SET value = $new::bytea
WHERE run = $run::bigint AND task = $task::text AND value IN ($old::bytea, $new::bytea);

-- name: lock_head
-- Before a signal is stored. The time is taken after the lock.
WITH held AS MATERIALIZED (
    SELECT run, phase, waits FROM {heads}
    WHERE run = (SELECT run FROM {runs} WHERE run_id = $run_id::text) AND NOT deleted
    FOR NO KEY UPDATE
)
SELECT run, phase, waits, clock_timestamp() FROM held;

-- name: signal_of
SELECT number, name, value, client_id, wait, created_at FROM {signals}
WHERE run = $run::bigint AND client_id = $client_id::text;

-- name: signals
SELECT number, name, value, client_id, wait, created_at FROM {signals}
WHERE run = (SELECT run FROM {runs} WHERE run_id = $run_id::text) AND NOT consumed ORDER BY number;

-- name: add_signal
-- Under the lock of lock_head, which is why the number is free.
WITH marked AS (
    UPDATE {heads} SET updated_at = $now::timestamptz, change = pg_current_xact_id(),
        settled = CASE WHEN settled IS NOT NULL THEN pg_current_xact_id() END
    WHERE run = $run::bigint
)
INSERT INTO {signals} (run, number, name, value, client_id, wait, created_at, consumed)
SELECT $run, (SELECT coalesce(max(number), 0) + 1 FROM {signals} WHERE run = $run), $name::text, $value::json,
       $client_id::text, $wait::text, $now, false
RETURNING number, name, value, client_id, wait, created_at;

-- name: pin
-- Under the lock that prunes and deletions take: whoever waited for one finds the checkpoint gone.
WITH kept AS MATERIALIZED (
    SELECT run FROM {runs} WHERE run = (SELECT run FROM {checkpoints} WHERE id = $id::text) FOR NO KEY UPDATE
), target AS MATERIALIZED (
    SELECT c.run, c.seq FROM kept JOIN {checkpoints} c USING (run) WHERE c.id = $id FOR KEY SHARE OF c
), added AS (
    INSERT INTO {pins} (run, seq) SELECT run, seq FROM target ON CONFLICT DO NOTHING
)
SELECT count(*) FROM target;

-- name: unpin
WITH target AS MATERIALIZED (
    SELECT run, seq FROM {checkpoints} WHERE id = $id::text
), dropped AS (
    DELETE FROM {pins} p USING target t WHERE p.run = t.run AND p.seq = t.seq
)
SELECT count(*) FROM target;

-- name: pins
SELECT seq FROM {pins} WHERE run = (SELECT run FROM {runs} WHERE run_id = $run_id::text);

-- name: hold
-- As `pin`.
WITH kept AS MATERIALIZED (
    SELECT run FROM {runs} WHERE run = (SELECT run FROM {checkpoints} WHERE id = $id::text) FOR NO KEY UPDATE
), target AS MATERIALIZED (
    SELECT c.run, c.seq FROM kept JOIN {checkpoints} c USING (run) WHERE c.id = $id FOR KEY SHARE OF c
), added AS (
    INSERT INTO {holds} (run, seq, child, taken_at)
    SELECT run, seq, $child::text, clock_timestamp() FROM target ON CONFLICT DO NOTHING
)
SELECT count(*) FROM target;

-- name: release_hold
-- Several rows are always locked in the order of their key.
WITH doomed AS MATERIALIZED (
    SELECT run, seq, child FROM {holds} WHERE child = $child::text ORDER BY run, seq, child FOR UPDATE
)
DELETE FROM {holds} h USING doomed d WHERE (h.run, h.seq, h.child) = (d.run, d.seq, d.child);

-- name: holds
-- With what tells whether they still count: their age, and the child's head, or that it is deleted or was never
-- created.
SELECT o.seq, o.child, extract(epoch FROM clock_timestamp() - o.taken_at)::float8, h.head_seq,
       coalesce(h.deleted, false)
FROM {holds} o LEFT JOIN {runs} r ON r.run_id = o.child LEFT JOIN {heads} h ON h.run = r.run
WHERE o.run = (SELECT run FROM {runs} WHERE run_id = $run_id::text);

-- name: lock_run
-- What prunes, pins, holds and deletions of one run take turns by. No commit waits for it.
SELECT r.run FROM {runs} r WHERE r.run_id = $run_id::text FOR NO KEY UPDATE;

-- name: history
-- What a prune is decided by: from before the first that is to go until a snapshot after the last, or the head.
-- So a long run is pruned in batches, each of which reads little more than it takes.
SELECT seq, kind, hash FROM {checkpoints}
WHERE run = $run::bigint AND seq >= $first::bigint - 1
  AND seq <= coalesce((SELECT s.seq FROM {checkpoints} s
                       WHERE s.run = $run AND s.seq > $last::bigint AND s.kind = 'snapshot'
                       ORDER BY s.seq LIMIT 1), 9223372036854775807);

-- name: drop_seqs
DELETE FROM {checkpoints} WHERE run = $run::bigint AND seq = ANY ($seqs::bigint[]);

-- name: drop_held
-- Holds that count no more.
WITH doomed AS MATERIALIZED (
    SELECT run, seq, child FROM {holds}
    WHERE run = $run::bigint AND (seq, child) IN (SELECT * FROM unnest($seqs::bigint[], $children::text[]))
    ORDER BY run, seq, child FOR UPDATE
)
DELETE FROM {holds} h USING doomed d WHERE (h.run, h.seq, h.child) = (d.run, d.seq, d.child);

-- name: gaps
SELECT first_seq, last_seq, hash_before, hash_after FROM {gaps}
WHERE run = (SELECT run FROM {runs} WHERE run_id = $run_id::text) ORDER BY first_seq;

-- name: usage
-- What is kept of many runs; reads no payload that lies elsewhere.
SELECT r.run_id, u.count, u.bytes, oldest.created_at, newest.created_at
FROM {runs} r JOIN {heads} h USING (run)
CROSS JOIN LATERAL (SELECT count(*) AS count, coalesce(sum(c.size), 0)::bigint AS bytes
                    FROM {checkpoints} c WHERE c.run = r.run) u
LEFT JOIN LATERAL (SELECT c.created_at FROM {checkpoints} c WHERE c.run = r.run
                   ORDER BY c.seq LIMIT 1) oldest ON true
LEFT JOIN LATERAL (SELECT c.created_at FROM {checkpoints} c WHERE c.run = r.run
                   ORDER BY c.seq DESC LIMIT 1) newest ON true
WHERE r.run_id = ANY ($run_ids::text[]) AND NOT h.deleted;

-- name: drop_gaps
DELETE FROM {gaps} WHERE run = $run::bigint;

-- name: add_gaps
INSERT INTO {gaps} (run, first_seq, last_seq, hash_before, hash_after)
SELECT $run::bigint, * FROM unnest($firsts::bigint[], $lasts::bigint[], $befores::text[], $afters::text[]);

-- name: bury
-- Leave a tombstone: whose run it was, when it was made, its epoch.
UPDATE {heads}
SET deleted = true, waits = '[]', message = '""', updated_at = now(), change = pg_current_xact_id(),
    settled = pg_current_xact_id()
WHERE run = $run::bigint AND NOT deleted;

-- name: empty_run
UPDATE {runs} SET manifest = '{}', origin = NULL, folder = NULL, annotations = '{}' WHERE run = $run::bigint;

-- name: drop_holds
-- Of the run's own checkpoints, and what it held of others.
WITH doomed AS MATERIALIZED (
    SELECT run, seq, child FROM {holds} WHERE run = $run::bigint OR child = $run_id::text
    ORDER BY run, seq, child FOR UPDATE
)
DELETE FROM {holds} h USING doomed d WHERE (h.run, h.seq, h.child) = (d.run, d.seq, d.child);

-- name: drop_checkpoints
DELETE FROM {checkpoints} WHERE run = $run::bigint;

-- name: drop_pins
DELETE FROM {pins} WHERE run = $run::bigint;

-- name: drop_row_writes
DELETE FROM {row_writes} WHERE run = $run::bigint;

-- name: drop_heartbeat
DELETE FROM {heartbeats} WHERE run = $run::bigint;

-- name: drop_progress
DELETE FROM {progress} WHERE run = $run::bigint;

-- name: drop_signals
DELETE FROM {signals} WHERE run = $run::bigint;

-- name: lock_audit
-- Writers of the audit take turns by this row, which nothing else locks. The time is taken after the lock.
WITH held AS MATERIALIZED (
    SELECT name FROM {meta} WHERE name = 'store_id' FOR NO KEY UPDATE
)
SELECT clock_timestamp() FROM held;

-- name: audit_of
SELECT number, id, at, who, what, source, target, parent_hash, hash FROM {audit} WHERE id = $id::text;

-- name: last_audit
SELECT number, hash FROM {audit} ORDER BY number DESC LIMIT 1;

-- name: add_audit
INSERT INTO {audit} (number, id, at, who, what, source, target, parent_hash, hash)
VALUES ($number::bigint, $id::text, $at::timestamptz, $who::text, $what::text, $source::text, $target::text,
        $parent_hash::text, $hash::text);

-- name: audits
SELECT number, id, at, who, what, source, target, parent_hash, hash FROM {audit}
WHERE number > $after::bigint ORDER BY number LIMIT $limit::bigint;
