#!lua flags=no-writes
-- Finds the commands that the login may not run; changes nothing. ARGV: for each command its name, the count of its first
-- arguments, and these (keys, or a subcommand). Answers name and first argument of each that is denied.
local denied = {}
local at = 1
while at <= #ARGV do
  local call = {ARGV[at]}
  local count = tonumber(ARGV[at + 1])
  for i = 1, count do call[i + 1] = ARGV[at + 1 + i] end
  local first = call[2] or ''
  -- Arguments count as keys for some commands: all the rest are the first key.
  for _ = 1, 4 do call[#call + 1] = first end
  if not redis.acl_check_cmd(unpack(call)) then
    denied[#denied + 1] = call[1]
    denied[#denied + 1] = first
  end
  at = at + 2 + count
end
return denied
