-- Tells which commands the user may not call; none of them is called.
--
-- KEYS: none
-- ARGV: 1 a JSON list of commands, each a list of words
-- Answers the numbers of those that are refused, from 1; nil before Redis 7, which cannot be asked.
if not redis.acl_check_cmd then return false end
local refused = {}
for number, words in ipairs(cjson.decode(ARGV[1])) do
    -- A command that this server does not have raises: nobody needs a right to it.
    local known, allowed = pcall(redis.acl_check_cmd, unpack(words))
    if known and not allowed then refused[#refused + 1] = number end
end
return refused
