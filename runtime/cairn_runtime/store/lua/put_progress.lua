-- Keeps a task's progress, replacing what was there.
--
-- ARGV: 1 fence  2 task  3 value
-- Returns 1, or {'gone'}, {'lost'}.
local row = redis.call('HMGET', KEYS[1], 'fence', 'deleted', 'expires')
if not row[1] or row[2] then return {'gone'} end
if row[1] ~= ARGV[1] then return {'lost'} end
redis.call('HSET', KEYS[8], ARGV[2], ARGV[3])
if row[3] then redis.call('PEXPIREAT', KEYS[8], row[3]) end
return 1
