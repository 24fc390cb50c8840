-- Reads what a checkpoint is folded from, newest first, in one view.
--
-- ARGV: 1 seq, or empty for the head
-- Returns {'rows', seq, kind, header, payload, seq ...}, or {'gone'}, {'absent', seq}.
local row = redis.call('HMGET', KEYS[1], 'head', 'deleted')
if not row[1] or row[2] then return {'gone'} end
local last = tonumber(ARGV[1] ~= '' and ARGV[1] or row[1])
if ARGV[1] == '' and last == 0 then return {'rows'} end
if last < 1 or last > tonumber(row[1]) then return {'absent', ARGV[1]} end
local found = {'rows'}
local below = string.format('%.0f', last)
local met = false
repeat
  local page = redis.call('XREVRANGE', KEYS[2], below, '-', 'COUNT', 32)
  for _, entry in ipairs(page) do
    local seq = string.match(entry[1], '^%d+')
    if #found == 1 and ARGV[1] ~= '' and seq ~= below then return {'absent', ARGV[1]} end
    table.insert(found, seq)
    table.insert(found, entry[2][1])
    table.insert(found, entry[2][2])
    table.insert(found, redis.call('HGET', KEYS[3], seq))
    met = entry[2][1] == 's'
    if met then break end
    below = string.format('%.0f', seq - 1)
  end
until met or #page < 32 or below == '0'
if #found == 1 then return {'absent', ARGV[1]} end
return found
