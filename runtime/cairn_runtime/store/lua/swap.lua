-- Puts other bytes in the place of payloads, or of progress, that are still the old ones: the same content
-- under another key.
--
-- ARGV: 1 'payloads' or 'progress'  then field, old, new of each
-- Returns how many stand as their new bytes now, or {'gone'}.
local row = redis.call('HMGET', KEYS[1], 'head', 'deleted')
if not row[1] or row[2] then return {'gone'} end
local key = ARGV[1] == 'payloads' and KEYS[3] or KEYS[8]
redis.call('HLEN', key)
local done = 0
for n = 2, #ARGV, 3 do
  local stored = redis.call('HGET', key, ARGV[n])
  if stored == ARGV[n + 1] then redis.call('HSET', key, ARGV[n], ARGV[n + 2]) end
  if stored == ARGV[n + 1] or stored == ARGV[n + 2] then done = done + 1 end
end
return done
