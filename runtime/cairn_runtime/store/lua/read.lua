-- Reads a page of checkpoints with their payloads, ascending, in one view.
--
-- ARGV: 1 seq that comes before the page  2 how many at most  3 bytes of payload at most, but for the first
-- Returns {seq, header, payload, seq, header, payload ...}.
local found = {}
local total = 0
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '(' .. ARGV[1] .. '-18446744073709551615', '+', 'COUNT', ARGV[2])) do
  local seq = string.match(entry[1], '^%d+')
  total = total + redis.call('HSTRLEN', KEYS[3], seq)
  if #found > 0 and total > tonumber(ARGV[3]) then break end
  table.insert(found, seq)
  table.insert(found, entry[2][2])
  table.insert(found, redis.call('HGET', KEYS[3], seq) or '')
end
return found
