-- Appends a line to the audit, if the last one is still the last, or finds the line that has its id.
--
-- KEYS: 1 the audit: last, hash, n:NUMBER, i:ID
-- ARGV: 1 id  2 hash of the last line, or empty  3 number  4 hash  5 the line
-- Returns 1, or {'known', the line}, {'differs'}.
local known = redis.call('HGET', KEYS[1], 'i:' .. ARGV[1])
if known then return {'known', redis.call('HGET', KEYS[1], 'n:' .. known)} end
if (redis.call('HGET', KEYS[1], 'hash') or '') ~= ARGV[2] then return {'differs'} end
redis.call('HSET', KEYS[1], 'last', ARGV[3], 'hash', ARGV[4], 'n:' .. ARGV[3], ARGV[5], 'i:' .. ARGV[1], ARGV[3])
return 1
