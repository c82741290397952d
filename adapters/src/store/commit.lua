#!lua
-- The one script that writes tasks: a batch, all or nothing. No flags: refused up front when memory is short.
-- Redis rolls nothing back, so everything that could fail is looked at before the first write:
-- token, watermark, key types, versions, existence. Answers: OK, APPLIED, FENCED, ROLLBACK, AHEAD, TYPE, GONE, CONFLICT.
--
-- KEYS: epoch tasks live messages outbox dead log orders answers paused, then in joint mode taken letters attempts waiting, then one
-- tombstone key for each I, T and U in order. ARGV: see below, in the order of the calls of take().

local at = 0
local function take() at = at + 1; return ARGV[at] end
local function take_list()
  local list = {}
  for i = 1, tonumber(take()) do list[i] = take() end
  return list
end

local token, seen, next_seq, wid = take(), take(), take(), take()
local store_db, queue_db = take(), take()
local dead_max, log_max, letters_max, answers_max = take(), take(), take(), take()
local joint, settles = queue_db ~= '', take() == '1'
local epoch, tasks, live, messages, outbox, dead, log, orders, answers, paused = unpack(KEYS, 1, 10)
local taken, letters, attempts, waiting
local done_at = 10
if joint then taken, letters, attempts, waiting = unpack(KEYS, 11, 14); done_at = 14 end

local function wrong(key, want)
  local kind = redis.call('TYPE', key).ok
  return kind ~= 'none' and kind ~= want
end

if wrong(epoch, 'hash') then return {'TYPE', epoch} end
local head = redis.call('HMGET', epoch, 'tok', 'seq', 'wid')
if head[1] ~= token then return {'FENCED'} end
if head[2] ~= seen then
  if head[2] == next_seq and head[3] == wid then return {'APPLIED'} end
  if (tonumber(head[2]) or -1) < tonumber(seen) then return {'ROLLBACK', head[2] or 'none'} end
  return {'AHEAD', head[2]}
end

for key, kind in pairs({
  [tasks] = 'hash', [live] = 'zset', [messages] = 'hash', [outbox] = 'hash', [dead] = 'stream', [log] = 'stream',
  [orders] = 'stream', [answers] = 'stream', [paused] = 'string',
}) do
  if wrong(key, kind) then return {'TYPE', key} end
end
if settles then
  redis.call('SELECT', queue_db)
  for key, kind in pairs({[taken] = 'list', [letters] = 'stream', [attempts] = 'hash'}) do
    if wrong(key, kind) then return {'TYPE', key} end
  end
  redis.call('SELECT', store_db)
end

local ids = take_list()
local task = #ids > 0 and redis.call('HMGET', tasks, unpack(ids)) or {}
local names = take_list()
local entry = #names > 0 and redis.call('HMGET', outbox, unpack(names)) or {}
local records = take_list()

-- First pass: play the batch against what is there, in memory.
local moved, due, message = {}, {}, {}   -- by index of ids; message: bytes, or false to drop it
local touched = {}                       -- by index of names
local buried = {}                        -- dead callbacks, each the fields of an XADD
local done, done_key = {}, {}            -- tombstones in order; key -> true, or false where it goes
local settled, refused = {}, {}
local dropped = {}                       -- places of dead callbacks that go
local gone, requeued = {}, {}            -- places of letters that go; messages of those that are put back
local answered = {}                      -- orders: place, order, answer
local pause                              -- who paused the intake; '': it goes on
while at < #ARGV do
  local op = take()
  if op == 'M' then
    local i, expect = tonumber(take()), take()
    if not task[i] then return {'GONE', ids[i]} end
    if string.sub(task[i], 1, 8) ~= expect then return {'CONFLICT', 'version', ids[i]} end
    task[i], due[i], moved[i] = take(), take(), true
  elseif op == 'I' then
    local i = tonumber(take())
    done_at = done_at + 1
    local key = KEYS[done_at]
    if task[i] then return {'CONFLICT', 'exists', ids[i]} end
    if done_key[key] or (done_key[key] == nil and redis.call('EXISTS', key) == 1) then return {'CONFLICT', 'tombstone', ids[i]} end
    task[i], due[i], moved[i] = take(), take(), true
  elseif op == 'G' then
    message[tonumber(take())] = take()
  elseif op == 'H' then
    message[tonumber(take())] = false
  elseif op == 'F' then
    local i, expect = tonumber(take()), take()
    if not task[i] then return {'GONE', ids[i]} end
    if string.sub(task[i], 1, 8) ~= expect then return {'CONFLICT', 'version', ids[i]} end
    task[i], message[i], moved[i] = false, false, true
  elseif op == 'T' then
    done_at = done_at + 1
    local key = KEYS[done_at]
    done_key[key] = true
    done[#done + 1] = {key, take(), take()}
  elseif op == 'P' then
    local i = tonumber(take())
    entry[i], touched[i] = take(), true
  elseif op == 'R' then
    local i = tonumber(take())
    if not entry[i] then return {'GONE', names[i]} end
    entry[i], touched[i] = take(), true
  elseif op == 'A' then
    local i = tonumber(take())
    if not entry[i] then return {'GONE', names[i]} end
    entry[i], touched[i] = false, true
  elseif op == 'D' then
    local i = tonumber(take())
    if not entry[i] then return {'GONE', names[i]} end
    entry[i], touched[i] = false, true
    buried[#buried + 1] = take_list()
  elseif op == 'U' then
    done_at = done_at + 1
    done_key[KEYS[done_at]] = false
    done[#done + 1] = {KEYS[done_at]}
  elseif op == 'X' then
    local place = take()
    if #redis.call('XRANGE', dead, place, place) == 0 then return {'GONE', place} end
    dropped[#dropped + 1] = place
  elseif op == 'Y' or op == 'Q' then
    local place = take()
    redis.call('SELECT', queue_db)
    if op == 'Q' and wrong(waiting, 'list') then return {'TYPE', waiting} end
    local letter = redis.call('XRANGE', letters, place, place)[1]
    redis.call('SELECT', store_db)
    if not letter then return {'GONE', place} end
    gone[#gone + 1] = place
    for at = 1, op == 'Q' and #letter[2] or 0, 2 do
      if letter[2][at] == 'raw' then requeued[#requeued + 1] = letter[2][at + 1] end
    end
  elseif op == 'O' then
    answered[#answered + 1] = {take(), take(), take()}
  elseif op == 'Z' then
    pause = take()
  elseif op == 'S' then
    settled[#settled + 1] = take()
  elseif op == 'L' then
    refused[#refused + 1] = {take(), take(), take(), take(), take()}
  else
    return redis.error_reply('ERR unknown operation in a batch')
  end
end

-- Second pass: nothing below can fail.
redis.call('HSET', epoch, 'seq', next_seq, 'wid', wid)

local function write_all(put_command, drop_command, key, puts, drops)
  if #puts > 0 then redis.call(put_command, key, unpack(puts)) end
  if #drops > 0 then redis.call(drop_command, key, unpack(drops)) end
end

local puts, drops, dues, keeps, forgets = {}, {}, {}, {}, {}
for i, id in ipairs(ids) do
  if moved[i] then
    if task[i] then
      puts[#puts + 1] = id; puts[#puts + 1] = task[i]
      dues[#dues + 1] = due[i]; dues[#dues + 1] = id
    else
      drops[#drops + 1] = id
    end
  end
  if message[i] then keeps[#keeps + 1] = id; keeps[#keeps + 1] = message[i]
  elseif message[i] == false then forgets[#forgets + 1] = id end
end
write_all('HSET', 'HDEL', tasks, puts, drops)
write_all('ZADD', 'ZREM', live, dues, drops)
write_all('HSET', 'HDEL', messages, keeps, forgets)

puts, drops = {}, {}
for i, name in ipairs(names) do
  if touched[i] then
    if entry[i] then puts[#puts + 1] = name; puts[#puts + 1] = entry[i]
    else drops[#drops + 1] = name end
  end
end
write_all('HSET', 'HDEL', outbox, puts, drops)

for _, stone in ipairs(done) do
  if not stone[2] then redis.call('DEL', stone[1])
  elseif stone[3] == '' then redis.call('SET', stone[1], stone[2])
  else redis.call('SET', stone[1], stone[2], 'PX', stone[3]) end
end

local function append(key, bound, rows)
  if #rows == 0 then return 0 end
  local before = redis.call('XLEN', key)
  for i = 1, #rows - 1 do redis.call('XADD', key, '*', unpack(rows[i])) end
  -- The bound is looked at once, with the last one.
  redis.call('XADD', key, 'MAXLEN', '~', bound, '*', unpack(rows[#rows]))
  return before + #rows - redis.call('XLEN', key)
end
for _, place in ipairs(dropped) do redis.call('XDEL', dead, place) end
local callbacks_trimmed = append(dead, dead_max, buried)
for i, record in ipairs(records) do records[i] = {'r', record} end
local records_trimmed = append(log, log_max, records)

if pause == '' then redis.call('DEL', paused) elseif pause then redis.call('SET', paused, pause) end
for i, order in ipairs(answered) do
  redis.call('XDEL', orders, order[1])
  answered[i] = {'place', order[1], 'order', order[2], 'answer', order[3]}
end
for _, row in ipairs(answered) do redis.call('XADD', answers, 'MAXLEN', '~', answers_max, '*', unpack(row)) end

local letters_trimmed = 0
if settles then
  redis.call('SELECT', queue_db)
  local counted = redis.call('HLEN', attempts) > 0
  local function settle(raw)
    if counted then redis.call('HDEL', attempts, redis.sha1hex(raw)) end
    return redis.call('LREM', taken, -1, raw)
  end
  local rows = {}
  for _, letter in ipairs(refused) do
    if settle(letter[1]) > 0 then
      rows[#rows + 1] = {'raw', letter[2], 'reason', letter[3], 'detail', letter[4], 'time', letter[5]}
    end
  end
  for _, place in ipairs(gone) do redis.call('XDEL', letters, place) end
  for _, raw in ipairs(requeued) do redis.call('LPUSH', waiting, raw) end
  letters_trimmed = append(letters, letters_max, rows)
  for _, raw in ipairs(settled) do settle(raw) end
  redis.call('SELECT', store_db)
end
return {'OK', tostring(callbacks_trimmed), tostring(records_trimmed), tostring(letters_trimmed)}
