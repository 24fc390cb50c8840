-- Takes a run out of the index whose row was not found, unless somebody has written it again since.
--
-- KEYS: 1 the index
-- ARGV: 1 member  2 the score that it had
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('ZREM', KEYS[1], ARGV[1]) end
return 0
