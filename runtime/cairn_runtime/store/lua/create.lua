-- Makes the row of a run, or finds the row that is there; the same call again changes nothing.
--
-- ARGV: 1 workflow  2 thread  3 created, microseconds by the clock of this server  4 what `create_run` was given
--       5 epoch  6 claim, empty for none  7 phase  8 outcome  then field and value of each note
-- Returns {'row', fields and values ...}, or {'deleted'}, {'other', the workflow that it belongs to}.
local there = redis.call('HMGET', KEYS[1], 'workflow', 'deleted')
if there[2] then return {'deleted'} end
if there[1] and there[1] ~= ARGV[1] then return {'other', there[1]} end
if not there[1] then
  redis.call('HSET', KEYS[1], 'workflow', ARGV[1], 'thread', ARGV[2], 'created', ARGV[3], 'new', ARGV[4],
    'at', ARGV[3], 'epoch', ARGV[5], 'claim', ARGV[6], 'fence', ARGV[6] ~= '' and ARGV[5] .. ' ' .. ARGV[6] or '',
    'head', '0', 'tip_id', '', 'tip_hash', '', 'phase', ARGV[7], 'outcome', ARGV[8], 'open', '', 'over', '', 'checkpoints', '0', 'bytes', '0',
    'sent', '0', 'pending', '0', 'wake', '', 'runner', '')
  for n = 9, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[n], ARGV[n + 1]) end
end
local row = redis.call('HGETALL', KEYS[1])
table.insert(row, 1, 'row')
return row
