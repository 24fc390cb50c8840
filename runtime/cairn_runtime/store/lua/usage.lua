-- Counts what is kept of a run, without reading payloads.
--
-- Where nothing was pruned the row knows the bytes. Else they are added up from the headers, whose last column is
-- the size, so many at a time: others are served in between.
-- ARGV: 1 seq that comes before those to look at  2 how many to look at at most
-- Returns {how many are kept, bytes of those looked at, last seq looked at or '', first header, last header},
-- without headers where there are none; or {'gone'}.
local row = redis.call('HMGET', KEYS[1], 'deleted', 'checkpoints', 'bytes')
if row[1] or not row[2] then return {'gone'} end
local count = redis.call('XLEN', KEYS[2])
local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)
if not first[1] then return {count, '0', ''} end
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
local ends = {first[1][2][2], last[1][2][2]}
if ARGV[1] == '0' and count == tonumber(row[2]) then return {count, row[3], '', ends[1], ends[2]} end
local entries = redis.call('XRANGE', KEYS[2], '(' .. ARGV[1] .. '-18446744073709551615', '+', 'COUNT', ARGV[2])
local bytes = 0
for _, entry in ipairs(entries) do
  bytes = bytes + (tonumber(string.match(string.sub(entry[2][2], -20), '(%d+)%]$')) or 0)
end
local seq = ''
if #entries == tonumber(ARGV[2]) then seq = string.match(entries[#entries][1], '^%d+') end
return {count, string.format('%.0f', bytes), seq, ends[1], ends[2]}
