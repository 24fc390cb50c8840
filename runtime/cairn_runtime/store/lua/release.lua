-- Lets go of whatever a child holds in this run.
--
-- ARGV: 1 the child  2 ttl in ms
-- Returns how many holds went.
local gone = 0
redis.call('HLEN', KEYS[1])
for _, field in ipairs(redis.call('HKEYS', KEYS[9])) do
  if string.match(field, '^h:%d+:(.*)$') == ARGV[1] then
    gone = gone + redis.call('HDEL', KEYS[9], field)
  end
end
if gone > 0 then settle(ARGV[2]) end
return gone
