#!lua
-- Takes the store for a leader. KEYS: epoch counter instance, then every other key of a batch.
-- ARGV: instance, holder, nonce, then the commands that a batch runs, each with the index of its key.
-- Answers: {'OK', token, number, seq}, INSTANCE, TYPE, PERMISSION.

local function wrong(key, want)
  local kind = redis.call('TYPE', key).ok
  return kind ~= 'none' and kind ~= want
end
for i, want in ipairs({'hash', 'string', 'string'}) do
  if wrong(KEYS[i], want) then return {'TYPE', KEYS[i]} end
end

-- A command that the login may not run would stop a batch half-way. Arguments count as keys for some commands: all are the key.
for i = 4, #ARGV, 2 do
  local key = KEYS[tonumber(ARGV[i + 1])]
  if not redis.acl_check_cmd(ARGV[i], key, key, key, key, key) then return {'PERMISSION', ARGV[i], key} end
end

local owner = redis.call('GET', KEYS[3])
if owner and owner ~= ARGV[1] then return {'INSTANCE', owner} end
local number = string.format('%d', (tonumber(redis.call('GET', KEYS[2])) or 0) + 1)
local seq = string.format('%d', (tonumber(redis.call('HGET', KEYS[1], 'seq')) or 0) + 1)
local token = number .. ':' .. ARGV[2] .. ':' .. ARGV[3]
redis.call('HSET', KEYS[1], 'tok', token, 'seq', seq, 'wid', '')
redis.call('SET', KEYS[2], number)
if not owner then redis.call('SET', KEYS[3], ARGV[1]) end
return {'OK', token, number, seq}
