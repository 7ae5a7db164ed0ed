/** How a record is read, and two of them merged: see `scope-record.ts` and `Scope.learn`. */
const RECORDS = `
local function read(text)
  if type(text) ~= 'string' then return nil end
  local opened, found, ends, rest = string.match(text, '^([%d%.]+)|([%d%.]+)|([%d%.]+)|(.*)$')
  if not opened then return nil end
  local record = { opened = opened, found = found, ends = ends, rest = rest }
  record.openedAt, record.foundAt = tonumber(opened), tonumber(found)
  record.endsAt = tonumber(ends)
  if record.openedAt and record.foundAt and record.endsAt then return record end
end
local function get(key)
  local text = redis.pcall('GET', key)
  return read(text), text
end
local function valid(record, openedAt)
  return record.foundAt > 0 and record.foundAt >= openedAt
end
local function merge(a, b)
  local later = a.openedAt >= b.openedAt and a or b
  local newest, longest
  for _, record in ipairs({ a, b }) do
    if valid(record, later.openedAt) then
      if not newest or record.foundAt > newest.foundAt then newest = record end
      if not longest or record.endsAt > longest.endsAt then longest = record end
    end
  end
  if not newest then return later.opened .. '|0|0|' end
  return table.concat({ later.opened, newest.found, longest.ends, longest.rest }, '|')
end
local NOTHING = read('0|0|0|')
local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
`;

/**
 * Merges a record into what is there, of about now at the latest, ends the teller's own trial of it if asked to, and passes on
 * what that has changed.
 *
 * Keys: record, claim, index. Arguments: teller, name, record, frees (1 or 0), ms that it outlives its
 * time, channel. Answers with the record as it is now.
 */
const TELL = `${RECORDS}
local told = read(ARGV[3])
if not told then return redis.error_reply('not a record') end
local latest = now() + 1000
if told.openedAt > latest then told.openedAt, told.opened = latest, string.format('%.0f', latest) end
if told.foundAt > latest then told.foundAt, told.found = latest, string.format('%.0f', latest) end
local known, before = get(KEYS[1])
local after = merge(known or NOTHING, told)
local freed = false
if ARGV[4] == '1' and redis.pcall('GET', KEYS[2]) == ARGV[1] then
  freed = redis.call('DEL', KEYS[2]) == 1
end
if after ~= before then
  local at = now()
  local left = math.max(read(after).endsAt, at) - at + tonumber(ARGV[5])
  left = math.ceil(math.max(left, redis.call('PTTL', KEYS[1])))
  redis.call('SET', KEYS[1], after, 'PX', left)
  if type(redis.pcall('ZADD', KEYS[3], at + left, ARGV[2])) == 'table' then
    redis.call('DEL', KEYS[3])
    redis.call('ZADD', KEYS[3], at + left, ARGV[2])
  end
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', at)
  redis.call('PEXPIRE', KEYS[3], math.max(left, redis.call('PTTL', KEYS[3])))
end
if freed or after ~= before then
  redis.call('PUBLISH', ARGV[6], table.concat({ ARGV[1], freed and '1' or '0', ARGV[2], after }, '\\n'))
end
return after`;

/**
 * Gives one process the trial of some scopes: all of them, if each one's time has passed here too and
 * nobody else has it.
 *
 * Keys: record and claim of each scope. Arguments: asker, ms to hold it, then what the asker knows of
 * each. Answers with 1 or 0, the ms after which to ask again, and the records.
 */
const CLAIM = `${RECORDS}
local at = now()
local retry = -1
local records = {}
for index = 1, #KEYS, 2 do
  local known, text = get(KEYS[index])
  local askers = read(ARGV[2 + (index + 1) / 2])
  records[#records + 1] = known and text or ''
  if known and askers then
    if known.openedAt > askers.foundAt and not valid(known, known.openedAt) then
      retry = math.max(retry, 0)
    elseif valid(known, known.openedAt) and known.endsAt > at then
      retry = math.max(retry, known.endsAt - at)
    end
  end
  local holder = redis.pcall('GET', KEYS[index + 1])
  if type(holder) == 'string' and holder ~= ARGV[1] then
    retry = math.max(retry, redis.call('PTTL', KEYS[index + 1]))
  end
end
if retry < 0 then
  for index = 2, #KEYS, 2 do redis.call('SET', KEYS[index], ARGV[1], 'PX', ARGV[2]) end
  return { 1, 0, unpack(records) }
end
return { 0, math.ceil(retry), unpack(records) }`;

/**
 * Shows that the server takes what is written, which one it is, and what time it has.
 *
 * Keys: its mark. Arguments: a mark for one that has none yet. Answers with the mark and the time in
 * milliseconds.
 */
const PULSE = `
local mark = redis.pcall('GET', KEYS[1])
if type(mark) ~= 'string' then mark = ARGV[1] end
redis.call('SET', KEYS[1], mark, 'PX', 86400000)
local time = redis.call('TIME')
return { mark, time[1] * 1000 + math.floor(time[2] / 1000) }`;

export const SCRIPTS = {
  tellRecord: { lua: TELL, numberOfKeys: 3 },
  claimTrial: { lua: CLAIM },
  pulse: { lua: PULSE, numberOfKeys: 1 },
} as const;
