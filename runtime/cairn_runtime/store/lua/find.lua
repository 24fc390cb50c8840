-- Finds the ids of a run's checkpoints that start or end with a text: id, seq, id, seq ...; the newest ids first.
--
-- ARGV: 1 text  2 how many at most
local ids = redis.call('HGETALL', KEYS[4])
local text, length = ARGV[1], string.len(ARGV[1])
local found = {}
for n = 1, #ids, 2 do
  local id = ids[n]
  if string.sub(id, 1, length) == text or string.sub(id, -length) == text then
    table.insert(found, {id, ids[n + 1]})
  end
end
table.sort(found, function(one, two) return one[1] > two[1] end)
local out = {}
for n = 1, math.min(#found, tonumber(ARGV[2])) do
  table.insert(out, found[n][1])
  table.insert(out, found[n][2])
end
return out
