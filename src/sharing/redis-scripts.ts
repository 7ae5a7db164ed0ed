/** Reads a record and merges two of them: see `scope-record.ts` and `Scope.merge`. */
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
 * Merges a record into the stored one, with no event later than about now, ends the instance's own probe if
 * asked to, and publishes what that changes.
 *
 * Keys: record, claim, index. Arguments: instance, name, record, endsProbe (1 or 0), ms to keep it after its
 * time, channel. Answers with the merged record.
 */
const PUBLISH = `${RECORDS}
local new = read(ARGV[3])
if not new then return redis.error_reply('not a record') end
local latest = now() + 1000
if new.openedAt > latest then new.openedAt, new.opened = latest, string.format('%.0f', latest) end
if new.foundAt > latest then new.foundAt, new.found = latest, string.format('%.0f', latest) end
local known, before = get(KEYS[1])
local after = merge(known or NOTHING, new)
local ended = false
if ARGV[4] == '1' and redis.pcall('GET', KEYS[2]) == ARGV[1] then
  ended = redis.call('DEL', KEYS[2]) == 1
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
if ended or after ~= before then
  redis.call('PUBLISH', ARGV[6], table.concat({ ARGV[1], ended and '1' or '0', ARGV[2], after }, '\\n'))
end
return after`;

/**
 * Claims the probe of some scopes for one instance: of all, if the cooldown of each has passed here too and
 * no other instance holds a claim.
 *
 * Keys: record and claim of each scope. Arguments: instance, ms to hold the claim, then the instance's own
 * record of each. Answers with 1 or 0, the ms after which to ask again, and the records.
 */
const CLAIM = `${RECORDS}
local at = now()
local retry = -1
local records = {}
for index = 1, #KEYS, 2 do
  local known, text = get(KEYS[index])
  local own = read(ARGV[2 + (index + 1) / 2])
  records[#records + 1] = known and text or ''
  if known and own then
    if known.openedAt > own.foundAt and not valid(known, known.openedAt) then
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
 * Sets what one instance has used of a quota, a budget or a share, adds up what all have, and publishes that.
 *
 * Key: a hash. Arguments: instance, name, minute, requests, tokens, end of the day, requests of the day, tokens of the
 * day, requests that were asked in the minute, limits, ms to keep it, channel. Answers with the total and its version as
 * one line, and the limits. Instances with an older version write and read the first five numbers.
 */
const SHARE_USE = `
local own = table.concat({ ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7] }, '|')
if ARGV[8] ~= '0' or ARGV[9] ~= '0' then own = own .. '|' .. ARGV[8] .. '|' .. ARGV[9] end
if type(redis.pcall('HSET', KEYS[1], ARGV[1], own)) == 'table' then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], ARGV[1], own)
end
if ARGV[10] ~= '[]' then redis.call('HSET', KEYS[1], 'limits', ARGV[10]) end
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[11])
local minute, day = tonumber(ARGV[3]), tonumber(ARGV[6])
local requests, tokens, asked, ofDay, tokensOfDay, limits = 0, 0, 0, 0, 0, '[]'
local all = redis.call('HGETALL', KEYS[1])
for index = 1, #all, 2 do
  local field, text = all[index], all[index + 1]
  local m, r, t, d, n, more = string.match(text, '^([%d%.]+)|([%d%.]+)|([%d%.]+)|([%d%.]+)|([%d%.]+)(.*)$')
  if field == 'limits' then limits = text
  elseif field == 'version' then version = tonumber(text)
  elseif not m or tonumber(m) < minute - 1500 then redis.call('HDEL', KEYS[1], field)
  else
    local dt, a = string.match(more, '^|([%d%.]+)|([%d%.]+)$')
    if tonumber(m) == minute then
      requests, tokens, asked = requests + tonumber(r), tokens + tonumber(t), asked + tonumber(a or 0)
    end
    if tonumber(d) == day then
      ofDay, tokensOfDay = ofDay + tonumber(n), tokensOfDay + tonumber(dt or 0)
    end
  end
end
local total = table.concat({ ARGV[3], requests, tokens, ARGV[6], ofDay, version, tokensOfDay, asked }, '|')
redis.call('PUBLISH', ARGV[12], table.concat({ ARGV[1], 'use', ARGV[2], total, limits }, '\\n'))
return { total, limits }`;

/**
 * Counts one hit. Key: the count. Argument: the window's length in ms, which begins with the first hit.
 * Answers with the hits so far and the ms that are left of the window.
 */
const HIT = `
local hits = redis.call('INCR', KEYS[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return { hits, redis.call('PTTL', KEYS[1]) }`;

/**
 * Shows that the server accepts writes, which server it is, and its time.
 *
 * Key: its mark. Argument: a mark for a server without one. Answers with the mark and the time in
 * milliseconds.
 */
const HEARTBEAT = `
local mark = redis.pcall('GET', KEYS[1])
if type(mark) ~= 'string' then mark = ARGV[1] end
redis.call('SET', KEYS[1], mark, 'PX', 86400000)
local time = redis.call('TIME')
return { mark, time[1] * 1000 + math.floor(time[2] / 1000) }`;

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.pcall('HGET', KEYS[1], 'id')
if type(held) ~= 'string' then held = nil end
`;

/**
 * Adds a text to the copy of an answer, and announces that it has taken the place of another one.
 *
 * Keys: a hash of what is known of the answer, its text. Arguments: id, whether it may take another one's place (1 or 0),
 * the bytes that were written before, text, state, whether a client has it all (1 or 0), ms to keep it, the state that
 * stops it, channel, the beginning of the message. Answers with the result and the ms since it was read, or -1.
 */
const WRITE_ANSWER = `${NOW}
if held and held ~= ARGV[1] then
  if ARGV[2] ~= '1' then return { 'gone', -1 } end
  redis.call('PUBLISH', ARGV[9], ARGV[10] .. held)
  held = nil
end
if held and redis.call('HGET', KEYS[1], 'state') == ARGV[8] then return { 'stopped', -1 } end
local known = held and redis.pcall('STRLEN', KEYS[2]) or 0
if ARGV[3] == '0' then
  if not held then redis.call('DEL', KEYS[1]) end
  redis.call('DEL', KEYS[2])
elseif known ~= tonumber(ARGV[3]) then return { 'incomplete', -1 } end
redis.call('APPEND', KEYS[2], ARGV[4])
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'state', ARGV[5], 'taken', ARGV[6], 'at', now)
redis.call('PEXPIRE', KEYS[1], ARGV[7])
redis.call('PEXPIRE', KEYS[2], ARGV[7])
local read = tonumber(redis.call('HGET', KEYS[1], 'readAt') or '')
return { 'written', read and now - read or -1 }`;

/**
 * Keys: as above. Arguments: the id of the answer or nothing, from which byte, the state of a stopped answer. Answers with
 * its id, its state, the ms since it was written, and its text.
 */
const READ_ANSWER = `${NOW}
if not held then return nil end
local known = redis.call('HMGET', KEYS[1], 'state', 'taken', 'at')
if ARGV[1] == '' then
  if known[2] == '1' or known[1] == ARGV[3] then return nil end
elseif held ~= ARGV[1] then return nil end
redis.call('HSET', KEYS[1], 'readAt', now)
return { held, known[1], now - tonumber(known[3]), redis.call('GETRANGE', KEYS[2], ARGV[2], -1) }`;

/**
 * Ends the copy of an answer, and announces it.
 *
 * Keys: as above. Arguments: the id of the answer or nothing, its new state or nothing for one that was read to its end,
 * ms to keep it, channel, the beginning of the message.
 */
const END_ANSWER = `${NOW}
if not held or (ARGV[1] ~= '' and held ~= ARGV[1]) then return end
if ARGV[2] == '' then redis.call('HSET', KEYS[1], 'taken', '1')
else redis.call('HSET', KEYS[1], 'state', ARGV[2]) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[5] .. held)`;

/** The time of Redis, and the version of a document: see `redis-documents.ts` for their form. */
const DOCUMENTS = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function versionOf(name)
  local known = redis.call('HGET', KEYS[1], name)
  if not known then return 0, false end
  local version, ends = string.match(known, '^(%d+):(%d+):')
  if version and (ends == '0' or tonumber(ends) > now) then return tonumber(version), false end
  return 0, true
end
`;

/**
 * Changes documents of a collection, all or none, and announces it. What may find Redis full comes first, and is refused
 * before anything is written.
 *
 * Keys: the documents, the number of changes. Arguments: channel, message, then for each change: name, text, whether it
 * stays (1 or 0), the version that it must have or nothing, when it expires or 0. Answers with the name of a document that
 * has another version.
 */
const WRITE_DOCUMENTS = `${DOCUMENTS}
local versions = {}
for at = 3, #ARGV, 5 do
  local version = versionOf(ARGV[at])
  if ARGV[at + 3] ~= '' and tonumber(ARGV[at + 3]) ~= version then return ARGV[at] end
  versions[at] = version
end
redis.call('INCR', KEYS[2])
for at = 3, #ARGV, 5 do
  if ARGV[at + 2] == '1' then
    local head = string.format('%.0f:%s:', versions[at] + 1, ARGV[at + 4])
    redis.call('HSET', KEYS[1], ARGV[at], head .. ARGV[at + 1])
  end
end
for at = 3, #ARGV, 5 do
  if ARGV[at + 2] == '0' then redis.call('HDEL', KEYS[1], ARGV[at]) end
end
redis.call('PUBLISH', ARGV[1], ARGV[2])`;

/** Deletes documents that have expired. Key: the documents. Arguments: names. */
const FORGET_DOCUMENTS = `${DOCUMENTS}
for _, name in ipairs(ARGV) do
  local _, isOver = versionOf(name)
  if isOver then redis.call('HDEL', KEYS[1], name) end
end`;

/**
 * Adds to numbers, all or none, and once for each batch.
 *
 * Keys: a hash, the mark of the batch. Arguments: when the hash expires, ms to keep the mark or nothing, then for each
 * number: field, number.
 */
const ADD_NUMBERS = `
redis.call('HLEN', KEYS[1])
if ARGV[2] ~= '' and not redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[2]) then return end
for at = 3, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[at], ARGV[at + 1]) end
redis.call('PEXPIREAT', KEYS[1], ARGV[1])`;

export const SCRIPTS = {
  publishRecord: { lua: PUBLISH, numberOfKeys: 3 },
  claimProbe: { lua: CLAIM },
  shareUse: { lua: SHARE_USE, numberOfKeys: 1 },
  countHit: { lua: HIT, numberOfKeys: 1 },
  heartbeat: { lua: HEARTBEAT, numberOfKeys: 1 },
  writeAnswer: { lua: WRITE_ANSWER, numberOfKeys: 2 },
  readAnswer: { lua: READ_ANSWER, numberOfKeys: 2 },
  endAnswer: { lua: END_ANSWER, numberOfKeys: 2 },
  writeDocuments: { lua: WRITE_DOCUMENTS, numberOfKeys: 2 },
  forgetDocuments: { lua: FORGET_DOCUMENTS, numberOfKeys: 1 },
  addNumbers: { lua: ADD_NUMBERS, numberOfKeys: 2 },
} as const;
