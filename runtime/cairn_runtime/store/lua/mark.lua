-- Sets or removes a mark on a checkpoint: a pin, or the hold of a child.
--
-- ARGV: 1 id of the checkpoint  2 its seq  3 kind of the mark: 'p' or 'h'  4 the child, or empty
--       5 '1' sets, '0' removes  6 ttl in ms
-- Returns 1, or {'absent'}.
if redis.call('HGET', KEYS[4], ARGV[1]) ~= ARGV[2] then return {'absent'} end
local field = ARGV[3] .. ':' .. ARGV[2] .. (ARGV[4] ~= '' and ':' .. ARGV[4] or '')
local rev = string.format('%.0f', (redis.call('HGET', KEYS[9], 'rev') or 0) + 1)
redis.call('HLEN', KEYS[1])
if ARGV[5] == '0' then
  redis.call('HDEL', KEYS[9], field)
  redis.call('HSET', KEYS[9], 'rev', rev)
elseif redis.call('HEXISTS', KEYS[9], field) == 0 then
  redis.call('HSET', KEYS[9], field, redis.call('TIME')[1], 'rev', rev)
end
settle(ARGV[6])
return 1
