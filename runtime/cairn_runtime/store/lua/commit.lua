-- Appends checkpoints at the head and changes the row, where fence and head are the row's.
--
-- All that can fail is read before the first write, since a script that fails midway keeps what it wrote:
-- fence and head, the ids, the type of every key. Memory is judged by the server before the first write only.
-- ARGV: 1 fence  2 expected head  3 write_id  4 checkpoints  5 their bytes  6 id and 7 hash of the new head
--       8 phase, or empty for no outcome  9 outcome  10 open waits  11 wake-up time  12 ttl in ms
--       13 consumed signals, n
--       then n numbers of signals, then id, kind, header, payload of each checkpoint
-- Returns 1, or {'gone'}, {'differs', head, what is stored in the place}, {'taken', id}.
local row = redis.call('HMGET', KEYS[1], 'fence', 'head', 'deleted', 'at', 'checkpoints', 'bytes', 'expires',
  'pending')
if not row[1] or row[3] then return {'gone'} end
local count = tonumber(ARGV[4])
local head = tonumber(row[2])
local fits = row[1] == ARGV[1] and row[2] == ARGV[2]
if count == 0 then
  local before = redis.call('SISMEMBER', KEYS[7], ARGV[3])
  if before == 1 or not fits then return {'differs', head, before} end
elseif not fits then
  local last = string.format('%.0f', ARGV[2] + count)
  return {'differs', head, redis.call('XRANGE', KEYS[2], string.format('%.0f', ARGV[2] + 1), last)}
end

local consumed = tonumber(ARGV[13])
local first = 14 + consumed
for n = first, first + 4 * count - 1, 4 do
  if redis.call('HEXISTS', KEYS[4], ARGV[n]) == 1 then return {'taken', ARGV[n]} end
end
redis.call('HEXISTS', KEYS[3], ARGV[2])
if consumed > 0 then redis.call('HLEN', KEYS[6]) end
local ends = ARGV[8] == 'Succeeded' or ARGV[8] == 'Failed' or ARGV[8] == 'Cancelled'
local settling = ARGV[8] ~= '' and (ends and ARGV[12] ~= '0') or row[7]
if settling then redis.call('HLEN', KEYS[9]) end
local time = redis.call('TIME')
local now = string.format('%.0f', math.max(time[1] * 1000000 + time[2], row[4] + 1))

for n = 0, count - 1 do
  local at = first + 4 * n
  local seq = string.format('%.0f', head + 1 + n)
  redis.call('XADD', KEYS[2], seq .. '-0', ARGV[at + 1], ARGV[at + 2])
  redis.call('HSET', KEYS[3], seq, ARGV[at + 3])
  redis.call('HSET', KEYS[4], ARGV[at], seq)
end
if count > 0 then
  redis.call('HSET', KEYS[1], 'head', string.format('%.0f', head + count), 'tip_id', ARGV[6], 'tip_hash', ARGV[7],
    'checkpoints', string.format('%.0f', row[5] + count), 'bytes', string.format('%.0f', row[6] + ARGV[5]),
    'at', now, 'alive', now)
else
  redis.call('SADD', KEYS[7], ARGV[3])
  redis.call('HSET', KEYS[1], 'at', now, 'alive', now)
end
if ARGV[8] ~= '' then
  local used = 0
  for n = 14, 13 + consumed do used = used + redis.call('HDEL', KEYS[6], ARGV[n]) end
  redis.call('HSET', KEYS[1], 'phase', ARGV[8], 'outcome', ARGV[9], 'open', ARGV[10],
    'wake', ARGV[11], 'over', ends and '1' or '', 'pending', string.format('%.0f', row[8] - used))
end
if settling then settle(ARGV[12]) end
return 1
