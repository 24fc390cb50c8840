-- Shared, put before the scripts that use it: when the keys of a run expire.
--
-- All keys of a run that is over expire at one time, `ttl` ms after this was first found; none do while the run
-- goes on, or while one of its checkpoints is pinned or held. A key that came later gets the same time.
local function settle(ttl)
  local row = redis.call('HMGET', KEYS[1], 'over', 'expires')
  local ends = row[1] == '1' and ttl ~= '0'
  if ends then
    for _, mark in ipairs(redis.call('HKEYS', KEYS[9])) do
      local kind = string.sub(mark, 1, 2)
      if kind == 'p:' or kind == 'h:' then ends = false end
    end
  end
  if ends then
    local expires = row[2]
    if not expires then
      local time = redis.call('TIME')
      expires = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ttl)
      redis.call('HSET', KEYS[1], 'expires', expires)
    end
    for _, key in ipairs(KEYS) do redis.call('PEXPIREAT', key, expires) end
  elseif row[2] then
    redis.call('HDEL', KEYS[1], 'expires')
    for _, key in ipairs(KEYS) do redis.call('PERSIST', key) end
  end
end
