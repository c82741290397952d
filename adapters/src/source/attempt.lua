#!lua
-- Counts an attempt (KEYS[2]) at a message that is still taken (KEYS[1]). ARGV: raw, seconds that idle counts are kept.
if not redis.call('LPOS', KEYS[1], ARGV[1], 'RANK', -1) then return 0 end
local count = redis.call('HINCRBY', KEYS[2], redis.sha1hex(ARGV[1]), 1)
redis.call('EXPIRE', KEYS[2], ARGV[2])
return count
