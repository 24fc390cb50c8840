-- Reads the signals that no commit has consumed, in one view: number, record, number, record ...
local found = {}
for _, number in ipairs(redis.call('HKEYS', KEYS[6])) do
  table.insert(found, number)
  table.insert(found, redis.call('HGET', KEYS[5], 'n:' .. number))
end
return found
