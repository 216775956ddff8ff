/**
 * The ledger's counters in Redis, changed by these scripts alone. All keys lie in one slot of a cluster. An account is a hash `spent`, `reserved`
 * (nano-dollars, exact up to 2^53 in Lua: 9 million USD) and, until what it had spent before is known, `loading`. A reservation is a hash `amount`,
 * `accounts` (JSON), `step` of one request: what it has spent so far and the most that its next step can cost. Setting it again changes nothing, and a step before the
 * one that it stands at neither, so every redelivery may. `mark` is the sequence in COMPLETIONS up to which all outcomes are booked, so each is booked once, by whoever comes first.
 *
 * Keys hold the epoch: of a Redis that was restarted, or a stream that was made anew, nothing is believed.
 */

/**
 * KEYS: state. ARGV: what Redis and stream are known by, last sequence of the stream, '1' when the stream is not the one that the mark is of any more (it lost its end), and the mark that this
 * was found of. Finds the epoch, or begins one there. Before the first account there is nothing to book, and the mark goes along. Returns epoch and mark.
 */
export const BEGIN_EPOCH = `
local at = redis.call('HMGET', KEYS[1], 'of', 'mark')
if at[1] ~= ARGV[1] or (ARGV[3] == '1' and at[2] == ARGV[4]) then
  local time = redis.call('TIME')
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'of', ARGV[1], 'epoch', ARGV[1] .. '-' .. time[1] .. '.' .. time[2], 'begun', time[1])
end
if redis.call('HEXISTS', KEYS[1], 'zones') == 0 then
  redis.call('HSET', KEYS[1], 'mark', ARGV[2])
  redis.call('HDEL', KEYS[1], 'last')
end
return redis.call('HMGET', KEYS[1], 'epoch', 'mark')
`;

/** Both go long after the lease; leases of others never end so much later that theirs would go before. */
const KEEP = `
local function keep(reservation, leases, ends)
  redis.call('PEXPIREAT', reservation, string.format('%.0f', tonumber(ends) + 86400000))
  redis.call('PEXPIREAT', leases, string.format('%.0f', tonumber(ends) + 30 * 86400000))
end
`;

/**
 * KEYS: state, reservation, leases, accounts. ARGV: epoch, amount, end of the lease (epoch ms), its name, step, and for each account its limit (-1: none that is hard) and
 * when it expires (epoch s). Returns 'lost'; 'unloaded' and the places of such accounts; 'refused' or 'reserved' and for each account what it spent, and what others reserve.
 */
export const RESERVE = `${KEEP}
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return { 'lost' } end
local held = redis.call('HMGET', KEYS[2], 'amount', 'accounts', 'step')
local before, amount, step, at = tonumber(held[1] or '0'), tonumber(ARGV[2]), tonumber(ARGV[5]), tonumber(held[3] or '0')
if step < at or (step == at and amount < before) then amount, step = before, at end
local mine = {}
if held[1] then for _, key in ipairs(cjson.decode(held[2])) do mine[key] = before end end
local unloaded, reply, refused = { 'unloaded' }, { 'reserved' }, false
for i = 4, #KEYS do
  local place = i - 3
  local state = redis.call('HMGET', KEYS[i], 'spent', 'reserved', 'loading')
  if not state[1] or state[3] then
    table.insert(unloaded, place)
  else
    local others, more, limit = tonumber(state[2]) - (mine[KEYS[i]] or 0), amount - (mine[KEYS[i]] or 0), tonumber(ARGV[4 + 2 * place])
    if limit >= 0 and more > 0 and tonumber(state[1]) + others + amount > limit then refused = true end
    table.insert(reply, state[1])
    table.insert(reply, string.format('%.0f', others))
  end
end
if #unloaded > 1 then return unloaded end
if refused then
  reply[1] = 'refused'
  return reply
end
for i = 4, #KEYS do
  mine[KEYS[i]] = mine[KEYS[i]] or 0
  redis.call('EXPIREAT', KEYS[i], ARGV[5 + 2 * (i - 3)])
end
local accounts = {}
for key, already in pairs(mine) do
  table.insert(accounts, key)
  if redis.call('HEXISTS', key, 'reserved') == 1 then redis.call('HINCRBY', key, 'reserved', string.format('%.0f', amount - already)) end
end
redis.call('HSET', KEYS[2], 'amount', string.format('%.0f', amount), 'accounts', cjson.encode(accounts), 'step', step)
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[4])
keep(KEYS[2], KEYS[3], ARGV[3])
return reply
`;

const RELEASE = `
local function release(reservation, leases, name)
  local held = redis.call('HMGET', reservation, 'amount', 'accounts')
  if held[1] then
    for _, key in ipairs(cjson.decode(held[2])) do
      if redis.call('HEXISTS', key, 'reserved') == 1 then redis.call('HINCRBY', key, 'reserved', string.format('%.0f', 0 - tonumber(held[1]))) end
    end
    redis.call('DEL', reservation)
  end
  redis.call('ZREM', leases, name)
  return held[1]
end
`;

/**
 * KEYS: state, leases. ARGV: epoch, first sequence that is not booked - 1, last sequence, JSON of [{ r: reservation, n: its lease, c: cost, a: accounts }], how many time zones
 * there were when the accounts were named, and whose outcome the last one is. Returns 'lost', 'zones' (name them again), 'moved' or 'booked', and the mark.
 */
export const SETTLE = `${RELEASE}
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return { 'lost' } end
if (redis.call('HGET', KEYS[1], 'zones') or '0') ~= ARGV[5] then return { 'zones' } end
local mark = redis.call('HGET', KEYS[1], 'mark')
if mark ~= ARGV[2] then return { 'moved', mark } end
for _, outcome in ipairs(cjson.decode(ARGV[4])) do
  release(outcome.r, KEYS[2], outcome.n)
  for _, key in ipairs(outcome.a) do
    if redis.call('HEXISTS', key, 'spent') == 1 then redis.call('HINCRBY', key, 'spent', outcome.c) end
  end
end
redis.call('HSET', KEYS[1], 'mark', ARGV[3], 'last', ARGV[6])
return { 'booked', ARGV[3] }
`;

/** KEYS: leases. ARGV: now (epoch ms), prefix of reservations, most. Frees reservations that nobody settled. Returns how many. */
export const EXPIRE = `${RELEASE}
local freed = 0
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', '0', ARGV[3])) do
  if release(ARGV[2] .. name, KEYS[1], name) then freed = freed + 1 end
end
return freed
`;

/**
 * KEYS: state, account, zones. ARGV: epoch, token, expiry (epoch s), patience (s), tenant and time zone. From now on outcomes are booked there, and in whatever accounts the tenant has in
 * that zone; nothing is reserved before LOADED. Returns 'lost', 'loaded', 'busy' or 'begun', the mark and how old the epoch is (s).
 */
export const LOAD = `
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return { 'lost' } end
local now = tonumber(redis.call('TIME')[1])
local state = redis.call('HMGET', KEYS[2], 'spent', 'loading', 'since')
if state[1] and not state[2] then return { 'loaded' } end
if state[2] and now - tonumber(state[3]) < tonumber(ARGV[4]) then return { 'busy' } end
redis.call('HSET', KEYS[2], 'spent', '0', 'reserved', '0', 'loading', ARGV[2], 'since', now)
redis.call('EXPIREAT', KEYS[2], ARGV[3])
if redis.call('SADD', KEYS[3], ARGV[5]) == 1 then redis.call('HINCRBY', KEYS[1], 'zones', 1) end
redis.call('EXPIREAT', KEYS[3], ARGV[3] + 32 * 86400)
local epoch = redis.call('HMGET', KEYS[1], 'mark', 'begun')
return { 'begun', epoch[1], now - tonumber(epoch[2]) }
`;

/** KEYS: accounts. ARGV: token. Still at it. */
export const LOADING = `
for _, key in ipairs(KEYS) do if redis.call('HGET', key, 'loading') == ARGV[1] then redis.call('HSET', key, 'since', redis.call('TIME')[1]) end end
return 1
`;

/** KEYS: account. ARGV: token. For whoever cannot find out what LOADED needs: the next one may begin at once. */
export const ABANDON = `
if redis.call('HGET', KEYS[1], 'loading') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
`;

/** KEYS: state, account, leases. ARGV: epoch, token, what was spent up to the mark that LOAD returned, JSON of [{ r, n, m: amount, s: step, l: end of its lease (text), e: sequence of its outcome or 0 }] of what the mark did not cover. Returns 'lost' or 'loaded', and the mark now. */
export const LOADED = `${KEEP}
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] or redis.call('HGET', KEYS[2], 'loading') ~= ARGV[2] then return { 'lost' } end
redis.call('HINCRBY', KEYS[2], 'spent', ARGV[3])
local mark = redis.call('HGET', KEYS[1], 'mark')
for _, open in ipairs(cjson.decode(ARGV[4])) do if open.e == 0 or open.e > tonumber(mark) then
  local held = redis.call('HMGET', open.r, 'amount', 'accounts', 'step')
  local accounts, before, step, isListed = held[1] and cjson.decode(held[2]) or {}, tonumber(held[1] or '0'), math.max(tonumber(held[3] or '0'), open.s), false
  local amount = math.max(before, tonumber(open.m))
  for _, key in ipairs(accounts) do if key == KEYS[2] then isListed = true end end
  for _, key in ipairs(accounts) do
    if amount > before and key ~= KEYS[2] and redis.call('HEXISTS', key, 'reserved') == 1 then redis.call('HINCRBY', key, 'reserved', string.format('%.0f', amount - before)) end
  end
  if not isListed then table.insert(accounts, KEYS[2]) end
  redis.call('HSET', open.r, 'amount', string.format('%.0f', amount), 'accounts', cjson.encode(accounts), 'step', step)
  redis.call('ZADD', KEYS[3], 'GT', open.l, open.n)
  keep(open.r, KEYS[3], open.l)
  redis.call('HINCRBY', KEYS[2], 'reserved', string.format('%.0f', amount))
end end
redis.call('HDEL', KEYS[2], 'loading', 'since')
return { 'loaded', mark }
`;

/** KEYS: state, leases, reservation. ARGV: epoch, its lease, sequence of its outcome. Where outcomes are booked up to there, nobody else would free it. Returns 'lost' or 'freed', and the mark. */
export const FREE_BOOKED = `${RELEASE}
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return { 'lost', '0' } end
local mark = redis.call('HGET', KEYS[1], 'mark')
if tonumber(mark) >= tonumber(ARGV[3]) then release(KEYS[3], KEYS[2], ARGV[2]) end
return { 'freed', mark }
`;

/** KEYS: leases. ARGV: JSON of [{ r, n }] that are booked. */
export const FREE = `${RELEASE}
for _, one in ipairs(cjson.decode(ARGV[1])) do release(one.r, KEYS[1], one.n) end
return 1
`;
