-- Every statement of the SQLite store, by name. `:first` and `:last` bound the keys of a run's checkpoints.

-- name: store_id
-- Origin of cursors: a cursor of another file counts as none.
SELECT value FROM meta WHERE name = 'store_id';

-- name: run_number
-- Numbers are never used again, so the caller may remember them.
SELECT run FROM runs WHERE run_id = :run_id;

-- name: create_run
INSERT INTO runs (run_id, workflow, thread, manifest, graph_hash, key_base, folder, origin, trace_id,
                  spec_version, created_at, annotations)
VALUES (:run_id, :workflow, :thread, :manifest, :graph_hash, :key_base, :folder, :origin, :trace_id,
        :spec_version, :now, :annotations);

-- name: create_head
INSERT INTO heads (run, epoch, claim_id, runner, head_seq, head_id, head_hash, phase, reason, message, waits,
                   wake_at, checkpoints, bytes, updated_at, alive_at, change, deleted)
VALUES (:run, :epoch, :claim_id, '', 0, '', '', :phase, :reason, '', '[]',
        NULL, 0, 0, :now, NULL, (SELECT coalesce(max(change), 0) + 1 FROM heads), 0);

-- name: owner
-- Whose run this is, deleted or not.
SELECT r.workflow, h.deleted FROM runs r JOIN heads h USING (run) WHERE r.run_id = :run_id;

-- name: run
SELECT r.run_id, r.workflow, r.thread, r.manifest, r.graph_hash, r.key_base, r.folder, r.origin, r.trace_id,
       r.spec_version, h.epoch, h.claim_id, h.head_seq, h.head_id, h.head_hash, h.phase, h.reason, h.message,
       h.waits, h.wake_at, h.checkpoints, h.bytes,
       (SELECT count(*) FROM signals s WHERE s.run = r.run AND s.consumed = 0) AS signals_pending,
       r.created_at, h.updated_at,
       coalesce(max(h.alive_at, b.at), h.alive_at, b.at) AS heartbeat_at, h.runner, r.annotations, b.metrics
FROM runs r JOIN heads h USING (run) LEFT JOIN heartbeats b USING (run)
WHERE r.run_id = :run_id AND h.deleted = 0;

-- name: runs_of_workflow
-- Newest first; the page before is named by the age of its last run. Walks runs_by_workflow.
SELECT r.run_id FROM runs r JOIN heads h USING (run)
WHERE r.workflow = :workflow AND (:thread = '' OR r.thread = :thread) AND h.deleted = 0
  AND (:created_at IS NULL OR (r.created_at, r.run_id) < (:created_at, :run_id))
ORDER BY r.created_at DESC, r.run_id DESC LIMIT :limit;

-- name: runs_of_thread
-- Walks runs_by_thread; `:prefix` is the beginning of the workflow key.
SELECT r.run_id FROM runs r JOIN heads h USING (run)
WHERE r.thread = :thread AND (:workflow = '' OR r.workflow = :workflow)
  AND substr(r.workflow, 1, length(:prefix)) = :prefix AND h.deleted = 0
  AND (:created_at IS NULL OR (r.created_at, r.run_id) < (:created_at, :run_id))
ORDER BY r.created_at DESC, r.run_id DESC LIMIT :limit;

-- name: runs_of_prefix
-- Walks runs_by_age.
SELECT r.run_id FROM runs r JOIN heads h USING (run)
WHERE substr(r.workflow, 1, length(:prefix)) = :prefix AND h.deleted = 0
  AND (:created_at IS NULL OR (r.created_at, r.run_id) < (:created_at, :run_id))
ORDER BY r.created_at DESC, r.run_id DESC LIMIT :limit;

-- name: age
-- Of a tombstone too, so that a page can go on after its last run was deleted.
SELECT created_at FROM runs WHERE run_id = :run_id;

-- name: head
SELECT h.head_seq, h.head_id, h.head_hash, h.epoch, h.phase, h.updated_at,
       coalesce(max(h.alive_at, b.at), h.alive_at, b.at) AS heartbeat_at, h.wake_at,
       (SELECT count(*) FROM signals s WHERE s.run = h.run AND s.consumed = 0) AS signals_pending
FROM heads h JOIN runs r USING (run) LEFT JOIN heartbeats b USING (run)
WHERE r.run_id = :run_id AND h.deleted = 0;

-- name: changed
SELECT r.run_id, h.change FROM heads h JOIN runs r USING (run) WHERE h.change > :since ORDER BY h.change;

-- name: last_change
SELECT coalesce(max(change), 0) FROM heads;

-- name: guard
-- What a write is judged by.
SELECT epoch, claim_id, head_seq, phase, waits FROM heads WHERE run = :run AND deleted = 0;

-- name: claim
UPDATE heads
SET epoch = epoch + 1, claim_id = :claim_id, updated_at = :now, alive_at = :now,
    runner = CASE WHEN :runner = '' THEN runner ELSE :runner END,
    change = (SELECT max(change) + 1 FROM heads)
WHERE run = :run AND epoch = :expected_epoch AND deleted = 0;

-- name: move_head
-- The fence, the head check and the move are one statement. An epoch of 0 was never claimed.
UPDATE heads
SET head_seq = :head_seq, head_id = :head_id, head_hash = :head_hash,
    checkpoints = checkpoints + :count, bytes = bytes + :bytes, updated_at = :now, alive_at = :now,
    change = (SELECT max(change) + 1 FROM heads)
WHERE run = :run AND epoch = :epoch AND epoch > 0 AND claim_id = :claim_id AND head_seq = :expected_head
  AND deleted = 0;

-- name: touch_head
-- The same for a commit without checkpoints, which must not be applied twice.
UPDATE heads
SET updated_at = :now, alive_at = :now, change = (SELECT max(change) + 1 FROM heads)
WHERE run = :run AND epoch = :epoch AND epoch > 0 AND claim_id = :claim_id AND head_seq = :expected_head
  AND deleted = 0
  AND NOT EXISTS (SELECT 1 FROM row_writes w WHERE w.run = :run AND w.write_id = :write_id);

-- name: set_outcome
-- In the transaction of move_head or touch_head, after it moved.
UPDATE heads
SET phase = :phase, reason = :reason, message = :message, waits = :waits, wake_at = :wake_at
WHERE run = :run;

-- name: consume_signal
UPDATE signals SET consumed = 1 WHERE run = :run AND number = :number;

-- name: add_checkpoint
INSERT INTO checkpoints (key, id, parent_hash, hash, epoch, write_id, kind, step, visit, item, next, metadata,
                         created_at, format_version, graph_hash, digest, size, payload)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_row_write
INSERT INTO row_writes (run, write_id) VALUES (:run, :write_id);

-- name: write_ids
-- By which writes the checkpoints are stored that a commit wanted to add.
SELECT key, write_id FROM checkpoints WHERE key BETWEEN :first AND :last;

-- name: our_row_write
SELECT 1 FROM row_writes WHERE run = :run AND write_id = :write_id;

-- name: annotations
SELECT annotations FROM runs WHERE run = :run;

-- name: annotate
UPDATE runs SET annotations = :annotations WHERE run = :run;

-- name: heartbeat
-- Without numbers those that are there stay.
INSERT INTO heartbeats (run, at, metrics)
SELECT run, :now, :metrics FROM heads
WHERE run = :run AND epoch = :epoch AND claim_id = :claim_id AND epoch > 0 AND deleted = 0
ON CONFLICT (run) DO UPDATE SET at = excluded.at, metrics = coalesce(excluded.metrics, metrics);

-- name: signals_pending
SELECT count(*) FROM signals WHERE run = :run AND consumed = 0;

-- name: list_checkpoints
SELECT key, id, parent_hash, hash, epoch, write_id, kind, step, visit, item, next, metadata, created_at,
       format_version, graph_hash, digest, size, NULL
FROM checkpoints WHERE key BETWEEN :first AND :last ORDER BY key DESC LIMIT :limit;

-- name: checkpoint
SELECT r.run_id, c.key, c.id, c.parent_hash, c.hash, c.epoch, c.write_id, c.kind, c.step, c.visit, c.item, c.next,
       c.metadata, c.created_at, c.format_version, c.graph_hash, c.digest, c.size, c.payload
FROM checkpoints c JOIN runs r ON r.run = c.key >> 32
WHERE c.id = :id;

-- name: find_checkpoints
-- By the beginning or the end of the id, which is what people see and type; reads the index only until it joins.
SELECT r.run_id, c.key, c.id, c.parent_hash, c.hash, c.epoch, c.write_id, c.kind, c.step, c.visit, c.item, c.next,
       c.metadata, c.created_at, c.format_version, c.graph_hash, c.digest, c.size, NULL
FROM checkpoints c JOIN runs r ON r.run = c.key >> 32
WHERE substr(c.id, 1, length(:text)) = :text OR substr(c.id, -length(:text)) = :text
ORDER BY c.id DESC LIMIT :limit;

-- name: load
-- From the newest snapshot at or before :last, or from the first, up to :last.
SELECT key, id, parent_hash, hash, epoch, write_id, kind, step, visit, item, next, metadata, created_at,
       format_version, graph_hash, digest, size, payload
FROM checkpoints
WHERE key BETWEEN coalesce((SELECT s.key FROM checkpoints s
                            WHERE s.key BETWEEN :first AND :last AND s.kind = 'snapshot'
                            ORDER BY s.key DESC LIMIT 1), :first) AND :last
ORDER BY key;

-- name: read
-- A page: every checkpoint before which the page has room; the first always.
SELECT key, id, parent_hash, hash, epoch, write_id, kind, step, visit, item, next, metadata, created_at,
       format_version, graph_hash, digest, size, payload
FROM checkpoints
WHERE key BETWEEN :first AND (
    SELECT max(p.key) FROM (
        SELECT t.key, t.weight, row_number() OVER w AS place, sum(t.weight) OVER w AS total
        FROM (SELECT key, length(payload) AS weight FROM checkpoints
              WHERE key BETWEEN :first AND :last ORDER BY key LIMIT :limit) t
        WINDOW w AS (ORDER BY t.key)) p
    WHERE p.total <= :bytes OR p.place = 1)
ORDER BY key;

-- name: put_progress
INSERT INTO progress (run, task, value)
SELECT run, :task, :value FROM heads
WHERE run = :run AND epoch = :epoch AND claim_id = :claim_id AND epoch > 0 AND deleted = 0
ON CONFLICT (run, task) DO UPDATE SET value = excluded.value;

-- name: progress
SELECT task, value FROM progress WHERE run = :run;

-- name: swap_payload
-- The same content under another key. What is new already counts as well: a repeat answers the same.
UPDATE checkpoints SET payload = :new WHERE key = :key AND payload IN (:old, :new);

-- name: swap_progress
UPDATE progress SET value = :new WHERE run = :run AND task = :task AND value IN (:old, :new);

-- name: signal_of
SELECT number, name, value, client_id, wait, created_at FROM signals WHERE run = :run AND client_id = :client_id;

-- name: signals
SELECT number, name, value, client_id, wait, created_at FROM signals
WHERE run = :run AND consumed = 0 ORDER BY number;

-- name: add_signal
INSERT INTO signals (run, number, name, value, client_id, wait, created_at, consumed)
VALUES (:run, (SELECT coalesce(max(number), 0) + 1 FROM signals WHERE run = :run), :name, :value, :client_id,
        :wait, :now, 0);

-- name: mark_changed
UPDATE heads SET updated_at = :now, change = (SELECT max(change) + 1 FROM heads) WHERE run = :run;

-- name: key_of
SELECT key FROM checkpoints WHERE id = :id;

-- name: pin
INSERT OR IGNORE INTO pins (key) VALUES (:key);

-- name: unpin
DELETE FROM pins WHERE key = :key;

-- name: pins
SELECT key FROM pins WHERE key BETWEEN :first AND :last;

-- name: hold
INSERT OR IGNORE INTO holds (key, child, taken_at) VALUES (:key, :child, :now);

-- name: release_hold
DELETE FROM holds WHERE child = :child;

-- name: drop_hold
DELETE FROM holds WHERE key = :key AND child = :child;

-- name: holds
-- With what tells whether they still count: the child's head, or that it is deleted or was never created.
SELECT o.key, o.child, o.taken_at, h.head_seq, coalesce(h.deleted, 0)
FROM holds o LEFT JOIN runs r ON r.run_id = o.child LEFT JOIN heads h ON h.run = r.run
WHERE o.key BETWEEN :first AND :last;

-- name: history
-- What a prune is decided by: from before the first that is to go until a snapshot after the last, or the head.
SELECT key, kind, hash FROM checkpoints
WHERE key BETWEEN :low - 1 AND coalesce(
    (SELECT s.key FROM checkpoints s WHERE s.key > :high AND s.key <= :last AND s.kind = 'snapshot'
     ORDER BY s.key LIMIT 1), :last);

-- name: drop_checkpoint
DELETE FROM checkpoints WHERE key = ?;

-- name: drop_gaps
DELETE FROM gaps WHERE run = :run;

-- name: add_gap
INSERT INTO gaps (run, first_seq, last_seq, hash_before, hash_after) VALUES (?, ?, ?, ?, ?);

-- name: gaps
SELECT first_seq, last_seq, hash_before, hash_after FROM gaps WHERE run = :run ORDER BY first_seq;

-- name: usage
-- What is kept of a run; reads no payload.
SELECT count(*), coalesce(sum(size), 0),
       (SELECT created_at FROM checkpoints WHERE key BETWEEN :first AND :last ORDER BY key LIMIT 1),
       (SELECT created_at FROM checkpoints WHERE key BETWEEN :first AND :last ORDER BY key DESC LIMIT 1)
FROM checkpoints WHERE key BETWEEN :first AND :last;

-- name: bury
-- Leave a tombstone: whose run it was, when it was made, its epoch.
UPDATE heads
SET deleted = 1, waits = '[]', message = '', updated_at = :now, change = (SELECT max(change) + 1 FROM heads)
WHERE run = :run;

-- name: empty_run
UPDATE runs SET manifest = '{}', origin = NULL, folder = NULL, annotations = '{}' WHERE run = :run;

-- name: drop_checkpoints
DELETE FROM checkpoints WHERE key BETWEEN :first AND :last;

-- name: drop_pins
DELETE FROM pins WHERE key BETWEEN :first AND :last;

-- name: drop_holds
DELETE FROM holds WHERE key BETWEEN :first AND :last OR child = :run_id;

-- name: drop_row_writes
DELETE FROM row_writes WHERE run = :run;

-- name: drop_heartbeat
DELETE FROM heartbeats WHERE run = :run;

-- name: drop_progress
DELETE FROM progress WHERE run = :run;

-- name: drop_signals
DELETE FROM signals WHERE run = :run;

-- name: audit_of
SELECT number, id, at, who, what, source, target, parent_hash, hash FROM audit WHERE id = :id;

-- name: last_audit
SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1;

-- name: add_audit
INSERT INTO audit (number, id, at, who, what, source, target, parent_hash, hash)
VALUES (:number, :id, :at, :who, :what, :source, :target, :parent_hash, :hash);

-- name: audits
SELECT number, id, at, who, what, source, target, parent_hash, hash FROM audit
WHERE number > :after ORDER BY number LIMIT :limit;
