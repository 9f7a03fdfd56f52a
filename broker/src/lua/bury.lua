-- Takes a dead letter off the list, because it was redriven or dropped.
-- KEYS: job, dead letters. ARGV: id, the job that a redrive made of it ('' = dropped)
-- Answers where its inputs are kept, or nothing if it was off the list already.
local input = redis.call('HGET', KEYS[1], 'dead_letter')
if not input then return false end
redis.call('HDEL', KEYS[1], 'dead_letter')
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'redriven_as', ARGV[2]) end
return input
