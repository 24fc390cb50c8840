-- Sets notes beside a run by name, and takes some away; they change nothing else.
--
-- ARGV: 1 how many are set, n; then n times field and value; then the fields to take away
-- Returns 1, or {'gone'}.
local row = redis.call('HMGET', KEYS[1], 'workflow', 'deleted')
if not row[1] or row[2] then return {'gone'} end
local set = tonumber(ARGV[1])
for n = 2, 2 * set, 2 do redis.call('HSET', KEYS[1], ARGV[n], ARGV[n + 1]) end
for n = 2 * set + 2, #ARGV do redis.call('HDEL', KEYS[1], ARGV[n]) end
return 1
