-- Counts one more attempt at a job that was delivered before, unless it has ended. The first attempt is not written
-- down, so the first count here makes it two. A claim that is made again, because its answer was lost, counts once.
-- KEYS: job. ARGV: how long to remember it, in ms; the claim's own token
local ended = redis.call('HGET', KEYS[1], 'state')
if ended then return ended end
if redis.call('HGET', KEYS[1], 'claim') == ARGV[2] then return redis.call('HGET', KEYS[1], 'attempts') end
redis.call('HSETNX', KEYS[1], 'attempts', 1)
local attempt = redis.call('HINCRBY', KEYS[1], 'attempts', 1)
redis.call('HSET', KEYS[1], 'claim', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return tostring(attempt)
