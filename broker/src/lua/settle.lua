-- Ends a job, if it has not ended: state, outcome, lineage, event and hint in one step, and for a failure its dead letter.
-- KEYS: job, events, dead letters, jobs without an end, the window of events, the outbox, the job's progress. ARGV: id, state, outcome, lineage,
-- fence ('' = any attempt may), retention in ms, how long the window and the outbox are kept in ms, hints,
-- where a failed job's inputs are kept ('' = this is no failure), the last moment in us ('' = any time), the minute
-- of its deadline, by which jobs without an end are counted, the longest outcome that the hint carries,
-- model, version, failure code, metadata as JSON, the job's webhook (each '' where there is none), how long progress stays
-- in ms ('' = there is none)
local ended = redis.call('HGET', KEYS[1], 'state')
if ended then return ended end
if ARGV[5] ~= '' and (redis.call('HGET', KEYS[1], 'attempts') or '1') ~= ARGV[5] then return 'stale' end
local now = redis.call('TIME')
-- both have 16 digits until 2286, so that their texts sort as their numbers do
local micros = now[1] .. string.sub('00000' .. now[2], -6)
if ARGV[10] ~= '' and micros > ARGV[10] then return 'late' end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'outcome', ARGV[3], 'lineage', ARGV[4], 'committed_at', micros)
if ARGV[9] ~= '' then
    redis.call('HSET', KEYS[1], 'dead_letter', ARGV[9])
    redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', string.format('%d', tonumber(micros) - ARGV[6] * 1000))
    redis.call('ZADD', KEYS[3], micros, ARGV[1])
    redis.call('PEXPIRE', KEYS[3], ARGV[6])
end
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('HINCRBY', KEYS[4], ARGV[11], -1)
redis.call('PEXPIRE', KEYS[4], ARGV[6])
-- an event is kept as long as its outcome; whoever resumes by a cursor from before the window is told that it misses some
local millis = tonumber(string.sub(micros, 1, -4))
local from = millis - ARGV[6]
redis.call('XADD', KEYS[2], 'MINID', '~', string.format('%.0f', from), '*', 'id', ARGV[1], 'state', ARGV[2],
    'model', ARGV[13], 'version', ARGV[14], 'code', ARGV[15], 'metadata', ARGV[16])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
from = math.max(from, tonumber(redis.call('HGET', KEYS[5], 'from') or 0))
redis.call('HSET', KEYS[5], 'from', string.format('%.0f', from), 'last', string.format('%.0f', millis))
redis.call('PEXPIRE', KEYS[5], ARGV[7])
if ARGV[17] ~= '' then
    redis.call('XADD', KEYS[6], '*', 'id', ARGV[1], 'state', ARGV[2], 'model', ARGV[13], 'version', ARGV[14],
        'code', ARGV[15], 'metadata', ARGV[16], 'url', ARGV[17], 'committed_at', micros)
    redis.call('PEXPIRE', KEYS[6], ARGV[7])
end
if ARGV[18] ~= '' then
    redis.call('HDEL', KEYS[1], 'progress')
    redis.call('PEXPIRE', KEYS[7], ARGV[18])
end
local hint = ARGV[1]
if #ARGV[3] <= tonumber(ARGV[12]) then hint = hint .. ' ' .. micros .. ' ' .. ARGV[2] .. ' ' .. ARGV[3] end
redis.call('PUBLISH', ARGV[8], hint)
return 'won'
