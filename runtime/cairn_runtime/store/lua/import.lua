-- Appends copies of checkpoints, with seqs of their own, and the gaps between them, where fence and head are the row's.
--
-- All that can fail is read before the first write, as in commit.lua.
-- ARGV: 1 fence  2 expected head  3 checkpoints  4 their bytes  5 seq, 6 id and 7 hash of the new head
--       8 gaps as JSON lists with commas between them, or empty  9 ttl in ms
--       then seq, id, kind, header, payload of each checkpoint
-- Returns 1, or {'gone'}, {'differs', head, what is stored in the places}, {'taken', id}.
local row = redis.call('HMGET', KEYS[1], 'fence', 'head', 'deleted', 'at', 'checkpoints', 'bytes', 'expires')
if not row[1] or row[3] then return {'gone'} end
if row[1] ~= ARGV[1] or row[2] ~= ARGV[2] then
  return {'differs', tonumber(row[2]), redis.call('XRANGE', KEYS[2], ARGV[10], ARGV[5])}
end
for n = 11, #ARGV, 5 do
  if redis.call('HEXISTS', KEYS[4], ARGV[n]) == 1 then return {'taken', ARGV[n]} end
end
redis.call('HLEN', KEYS[3])
local marks = redis.call('HMGET', KEYS[9], 'gaps', 'rev')
local time = redis.call('TIME')
local now = string.format('%.0f', math.max(time[1] * 1000000 + time[2], row[4] + 1))

for n = 10, #ARGV, 5 do
  redis.call('XADD', KEYS[2], ARGV[n] .. '-0', ARGV[n + 2], ARGV[n + 3])
  redis.call('HSET', KEYS[3], ARGV[n], ARGV[n + 4])
  redis.call('HSET', KEYS[4], ARGV[n + 1], ARGV[n])
end
redis.call('HSET', KEYS[1], 'head', ARGV[5], 'tip_id', ARGV[6], 'tip_hash', ARGV[7],
  'checkpoints', string.format('%.0f', row[5] + ARGV[3]), 'bytes', string.format('%.0f', row[6] + ARGV[4]),
  'at', now, 'alive', now)
if ARGV[8] ~= '' then
  local gaps = '[' .. ARGV[8] .. ']'
  if marks[1] and marks[1] ~= '[]' then gaps = string.sub(marks[1], 1, -2) .. ',' .. ARGV[8] .. ']' end
  redis.call('HSET', KEYS[9], 'gaps', gaps, 'rev', string.format('%.0f', (marks[2] or 0) + 1))
end
if row[7] then settle(ARGV[9]) end
return 1
