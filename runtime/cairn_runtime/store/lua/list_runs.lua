-- Lists members of the index of runs, newest first, that belong to a workflow, a prefix of workflows, a thread.
--
-- A member is the JSON list [run_id, workflow, thread], its score when the run was created, in microseconds.
-- KEYS: 1 the index
-- ARGV: 1 highest score  2 workflow or empty  3 prefix or empty  4 thread or empty  5 how many  6 how many to look at
-- Returns {score of the last member looked at or '' at the end, member, score, member, score ...}.
local page = redis.call('ZREVRANGEBYSCORE', KEYS[1], ARGV[1], '-inf', 'WITHSCORES', 'LIMIT', 0, ARGV[6])
local wanted, found = tonumber(ARGV[5]), {''}
local length = string.len(ARGV[3])
for n = 1, #page, 2 do
  if page[n] ~= '' then
    local run = cjson.decode(page[n])
    if (ARGV[2] == '' or run[2] == ARGV[2]) and (ARGV[4] == '' or run[3] == ARGV[4])
      and string.sub(run[2], 1, length) == ARGV[3] then
      table.insert(found, page[n])
      table.insert(found, page[n + 1])
      if #found > 2 * wanted then
        found[1] = page[n + 1]
        return found
      end
    end
  end
end
if #page == 2 * ARGV[6] then found[1] = page[#page] end
return found
