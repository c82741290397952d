#!lua
-- Forgets the attempts at a message. KEYS: attempts. ARGV: raw.
return redis.call('HDEL', KEYS[1], redis.sha1hex(ARGV[1]))
