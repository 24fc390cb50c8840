-- Stores a signal, or finds the one that was stored under this client_id.
--
-- ARGV: 1 client_id  2 the wait that it answers, or empty  3 name, value, client_id and wait as JSON
-- Returns {'stored', number, record}, or {'gone'}, {'finished', phase}, {'closed'}.
local row = redis.call('HMGET', KEYS[1], 'phase', 'deleted', 'open', 'at', 'sent', 'pending')
if not row[1] or row[2] then return {'gone'} end
local known = redis.call('HGET', KEYS[5], 'c:' .. ARGV[1])
if known then return {'stored', tonumber(known), redis.call('HGET', KEYS[5], 'n:' .. known)} end
if row[1] == 'Succeeded' or row[1] == 'Failed' or row[1] == 'Cancelled' then return {'finished', row[1]} end
local time = redis.call('TIME')
local now = math.max(time[1] * 1000000 + time[2], row[4] + 1)
local answered = redis.call('HVALS', KEYS[6])
if ARGV[2] ~= '' then
  -- Open waits: the deadline of each by name, in microseconds; 0 where there is none.
  local deadline = row[3] ~= '' and cjson.decode(row[3])[ARGV[2]]
  if not deadline or (deadline > 0 and now >= deadline) then return {'closed'} end
  for _, wait in ipairs(answered) do
    if wait == ARGV[2] then return {'closed'} end
  end
end
local number = string.format('%.0f', row[5] + 1)
now = string.format('%.0f', now)
local record = now .. ' ' .. ARGV[3]
redis.call('HSET', KEYS[5], 'c:' .. ARGV[1], number, 'n:' .. number, record)
redis.call('HSET', KEYS[6], number, ARGV[2])
redis.call('HSET', KEYS[1], 'sent', number, 'pending', string.format('%.0f', row[6] + 1), 'at', now)
return {'stored', tonumber(number), record}
