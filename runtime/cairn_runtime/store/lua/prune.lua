-- Removes checkpoints that nothing needs, with the gaps that they leave, if no mark was set since they were chosen.
--
-- ARGV: 1 revision of the marks that the choice stands on  2 all gaps as JSON  3 ttl in ms
--       4 number of stale holds, n  then n fields  then seq and id of each checkpoint
-- Returns how many went, or {'gone'}, {'again'}.
local row = redis.call('HMGET', KEYS[1], 'head', 'deleted')
if not row[1] or row[2] then return {'gone'} end
local rev = redis.call('HGET', KEYS[9], 'rev') or '0'
if rev ~= ARGV[1] then return {'again'} end
redis.call('XLEN', KEYS[2])
redis.call('HLEN', KEYS[3])
redis.call('HLEN', KEYS[4])
local stale = tonumber(ARGV[4])
for n = 5, 4 + stale do redis.call('HDEL', KEYS[9], ARGV[n]) end
local gone = 0
for n = 5 + stale, #ARGV, 2 do
  if ARGV[n] ~= row[1] then
    gone = gone + redis.call('XDEL', KEYS[2], ARGV[n] .. '-0')
    redis.call('HDEL', KEYS[3], ARGV[n])
    redis.call('HDEL', KEYS[4], ARGV[n + 1])
  end
end
if gone > 0 or stale > 0 then
  redis.call('HSET', KEYS[9], 'gaps', ARGV[2], 'rev', string.format('%.0f', rev + 1))
  settle(ARGV[3])
end
return gone
