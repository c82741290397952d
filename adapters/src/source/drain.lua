#!lua
-- Moves up to ARGV[1] messages from the queue (KEYS[1]) to the taken ones (KEYS[2]), oldest first.
local moved = {}
for i = 1, tonumber(ARGV[1]) do
  local raw = redis.call('LMOVE', KEYS[1], KEYS[2], 'RIGHT', 'LEFT')
  if not raw then break end
  moved[i] = raw
end
return moved
