#!lua flags=no-writes
-- Reads dead letters of the queue (KEYS[1]), which may be in another database of this server.
-- ARGV: database of the store, database of the queue, places. Returns for each whether it is
-- there, raw and reason.
redis.call('SELECT', ARGV[2])
local found = {}
for at = 3, #ARGV do
  local letter = redis.call('XRANGE', KEYS[1], ARGV[at], ARGV[at])[1]
  local fields = {}
  for field = 1, letter and #letter[2] or 0, 2 do fields[letter[2][field]] = letter[2][field + 1] end
  found[#found + 1] = letter and '1' or ''
  found[#found + 1] = fields.raw or ''
  found[#found + 1] = fields.reason or ''
end
redis.call('SELECT', ARGV[1])
return found
