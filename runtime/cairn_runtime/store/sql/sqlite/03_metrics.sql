-- What a run's runners have counted: JSON, beside the heartbeat that brings it, so that no commit writes it again.

ALTER TABLE heartbeats ADD COLUMN metrics TEXT;
