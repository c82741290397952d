#!lua
-- Moves the message of one dead letter (stream KEYS[1]) to the end of the queue (KEYS[2]). ARGV: place. Returns whether it was there.
-- Lua rolls nothing back, so both types are read before the first write.
local letter = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
redis.call('LLEN', KEYS[2])
if not letter then return 0 end
for at = 1, #letter[2], 2 do
  if letter[2][at] == 'raw' then redis.call('LPUSH', KEYS[2], letter[2][at + 1]) end
end
return redis.call('XDEL', KEYS[1], ARGV[1])
