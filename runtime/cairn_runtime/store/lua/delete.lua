-- Removes a run's keys and leaves a tombstone: whose it was, when it was made, and its epoch.
--
-- ARGV: fields of the holds that count no more; any other hold refuses the deletion.
-- Returns 1, or {'gone'}, {'held'}.
local row = redis.call('HMGET', KEYS[1], 'workflow', 'deleted', 'thread', 'created', 'epoch', 'at')
if not row[1] or row[2] then return {'gone'} end
local stale = {}
for _, field in ipairs(ARGV) do stale[field] = true end
for _, field in ipairs(redis.call('HKEYS', KEYS[9])) do
  if string.sub(field, 1, 2) == 'h:' and not stale[field] then return {'held'} end
end
local time = redis.call('TIME')
local now = string.format('%.0f', math.max(time[1] * 1000000 + time[2], row[6] + 1))
redis.call('UNLINK', unpack(KEYS))
redis.call('HSET', KEYS[1], 'deleted', '1', 'workflow', row[1], 'thread', row[3], 'created', row[4],
  'epoch', row[5], 'at', now)
return 1
