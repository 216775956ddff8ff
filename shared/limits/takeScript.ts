/**
 * Takes from every bucket of a call or from none, in one round trip and by Redis's clock, so that any number of gateways and
 * routers count as one. A bucket is `<level> <microseconds>`: how much there was, and when; one that is not there is full.
 *
 * A clock that went back takes nothing away: the level stays, and is refilled from the new time on. Refused calls write nothing.
 * What a request was told is kept under its id and content where asked for, so that a repeated one neither pays nor hears otherwise.
 *
 * KEYS: the buckets; then, with an id, its verdict. ARGV: number of buckets; rate per second, burst, amount and what must be left of each; how
 * long the verdict is kept (ms), and whether a refusal is kept too (1 or 0). Returns 1 or 0 and the levels, as text: Redis would cut numbers.
 */
export const TAKE_SCRIPT = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local count = tonumber(ARGV[1])
local verdict = KEYS[count + 1]
local known = verdict and redis.call('GET', verdict)
local admitted = true
local buckets = {}
for i = 1, count do
  local rate, burst, amount, reserve = tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i]), tonumber(ARGV[4 * i + 1])
  local level, rewound = burst, false
  local stored = redis.call('GET', KEYS[i])
  if stored then
    local was, at = string.match(stored, '^(%S+) (%S+)$')
    level = math.min(burst, tonumber(was) + math.max(0, now - tonumber(at)) * rate / 1000000)
    rewound = tonumber(at) > now
  end
  if level < amount + reserve then admitted = false end
  buckets[i] = { rate = rate, burst = burst, amount = amount, level = level, rewound = rewound }
end
if known then admitted = known == '1' end
local takes = admitted and not known
local reply = { admitted and 1 or 0 }
for i, bucket in ipairs(buckets) do
  if takes then bucket.level = bucket.level - bucket.amount end
  if bucket.rewound or (takes and bucket.amount > 0) then
    local full_ms = math.min(1e12, (bucket.burst - bucket.level) / bucket.rate * 1000)
    redis.call('SET', KEYS[i], string.format('%.17g %.17g', bucket.level, now), 'PX', string.format('%.0f', math.ceil(full_ms) + 1000))
  end
  reply[i + 1] = string.format('%.17g', bucket.level)
end
if verdict and not known and (admitted or ARGV[4 * count + 3] == '1') then
  redis.call('SET', verdict, admitted and '1' or '0', 'PX', ARGV[4 * count + 2])
end
return reply
`;
