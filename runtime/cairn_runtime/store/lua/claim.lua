-- Raises the epoch by one and writes the claim; the claim that is the row's already is only written again.
--
-- Written again, because WAITAOF waits for the last write of its connection: a claim whose first answer was lost
-- must wait for the same bytes.
-- ARGV: 1 expected epoch  2 claim_id  3 version of the runner, or empty
-- Returns {'claimed', epoch, workflow, thread, created}, or {'gone'}, {'epoch', the row's}.
local row = redis.call('HMGET', KEYS[1], 'epoch', 'claim', 'deleted', 'at', 'fence', 'workflow', 'thread',
  'created', 'runner')
if not row[1] or row[3] then return {'gone'} end
if row[2] == ARGV[2] then
  redis.call('HSET', KEYS[1], 'fence', row[5])
  return {'claimed', tonumber(row[1]), row[6], row[7], row[8]}
end
if row[1] ~= ARGV[1] then return {'epoch', tonumber(row[1])} end
redis.call('HLEN', KEYS[9])
local time = redis.call('TIME')
local now = string.format('%.0f', math.max(time[1] * 1000000 + time[2], row[4] + 1))
local epoch = string.format('%.0f', row[1] + 1)
redis.call('HSET', KEYS[1], 'epoch', epoch, 'claim', ARGV[2], 'fence', epoch .. ' ' .. ARGV[2], 'at', now,
  'alive', now, 'over', '', 'runner', ARGV[3] ~= '' and ARGV[3] or row[9])
settle('0')
return {'claimed', tonumber(epoch), row[6], row[7], row[8]}
