-- Notes beside a run: an object of JSON values by name, no part of its history.

ALTER TABLE runs ADD COLUMN annotations TEXT NOT NULL DEFAULT '{}';
