-- Notes that the holder of the fence lives.
--
-- ARGV: 1 fence  2 its numbers, or empty to leave those that are there
-- Returns {'alive', unconsumed signals, now in microseconds}, or {'gone'}, {'lost'}.
local row = redis.call('HMGET', KEYS[1], 'fence', 'deleted', 'pending')
if not row[1] or row[2] then return {'gone'} end
if row[1] ~= ARGV[1] then return {'lost'} end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000000 + time[2])
redis.call('HSET', KEYS[1], 'alive', now)
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'metrics', ARGV[2]) end
return {'alive', tonumber(row[3]), now}
