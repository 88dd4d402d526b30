-- Puts rows into hashes: of each, its fields, unless the hash has a greater fence. Answers 1 for what it wrote or had
-- written before, 0 where the hash is newer, a text for what it refuses.
-- ARGV: the field of the fence, 1 if others have fields in the same hashes (0 if not), then for each key: fence,
-- milliseconds to live (0: for ever), how many fields are set, how many removed, the fields to set with their values, those
-- to remove. A row without fields to set takes the others away.
local fence_field, is_shared = ARGV[1], ARGV[2] == '1'
local answers, at = {}, 3

-- Whether a feature view has values in a hash.
local function is_lived_in(key)
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 4) == '_ts:' then return true end
  end
  return false
end

for i, key in ipairs(KEYS) do
  local fence, ttl = ARGV[at], tonumber(ARGV[at + 1])
  local sets, removes = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local first = at + 4
  at = first + 2 * sets + removes
  local held = redis.pcall('HGET', key, fence_field)
  if type(held) == 'table' then
    answers[i] = held.err or 'an answer that is not a text'
  elseif held and held > fence then
    answers[i] = 0
  elseif held == fence then
    answers[i] = 1
  else
    if sets == 0 and not is_shared then
      redis.call('DEL', key)
    elseif removes > 0 then
      redis.call('HDEL', key, unpack(ARGV, first + 2 * sets, at - 1))
    end
    redis.call('HSET', key, fence_field, fence, unpack(ARGV, first, first + 2 * sets - 1))
    if sets == 0 and is_shared and is_lived_in(key) then
      -- The others decide how long it lives.
    elseif ttl > 0 then
      redis.call('PEXPIRE', key, ttl)
    elseif sets > 0 then
      redis.call('PERSIST', key)
    end
    answers[i] = 1
  end
end
return answers
