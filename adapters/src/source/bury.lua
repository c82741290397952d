#!lua
-- Moves one message from the taken ones (KEYS[1]) to the dead letters (KEYS[2]); KEYS[3] are the counts of attempts.
-- ARGV: receipt, raw, reason, detail, time, bound. Returns how many old letters were trimmed.
-- Lua rolls nothing back, so both types are read before the first write.
local letters = redis.call('XLEN', KEYS[2])
local counted = redis.call('HLEN', KEYS[3]) > 0
if redis.call('LREM', KEYS[1], -1, ARGV[1]) == 0 then return 0 end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], '*',
  'raw', ARGV[2], 'reason', ARGV[3], 'detail', ARGV[4], 'time', ARGV[5])
if counted then redis.call('HDEL', KEYS[3], redis.sha1hex(ARGV[1])) end
return letters + 1 - redis.call('XLEN', KEYS[2])
