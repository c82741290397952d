#!lua
-- Forgets the attempts (KEYS[1]) at a message. ARGV: raw.
redis.call('HDEL', KEYS[1], redis.sha1hex(ARGV[1]))
