-- Puts rows into hashes: of each, its fields, unless the hash has a greater fence. Answers 1 for what it wrote or had
-- written before, 0 where the hash is newer, a text for what it refuses.
-- ARGV, for each key: fence, milliseconds to live (0: for ever), how many fields are set, how many removed, the fields to set
-- with their values, those to remove. A row without fields to set takes the others away.
local answers, at = {}, 1
for i, key in ipairs(KEYS) do
  local fence, ttl = ARGV[at], tonumber(ARGV[at + 1])
  local sets, removes = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local first = at + 4
  at = first + 2 * sets + removes
  local held = redis.pcall('HGET', key, '_fence')
  if type(held) == 'table' then
    answers[i] = held.err or 'an answer that is not a text'
  elseif held and held > fence then
    answers[i] = 0
  elseif held == fence then
    answers[i] = 1
  else
    if sets == 0 then
      redis.call('DEL', key)
    elseif removes > 0 then
      redis.call('HDEL', key, unpack(ARGV, first + 2 * sets, at - 1))
    end
    redis.call('HSET', key, '_fence', fence, unpack(ARGV, first, first + 2 * sets - 1))
    if ttl > 0 then
      redis.call('PEXPIRE', key, ttl)
    elseif sets > 0 then
      redis.call('PERSIST', key)
    end
    answers[i] = 1
  end
end
return answers
