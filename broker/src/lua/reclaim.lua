-- Counts one more attempt at a job that was delivered before, unless it has ended. The first attempt is not written
-- down, so the first count here makes it two.
-- KEYS: job. ARGV: how long to remember it, in ms
local ended = redis.call('HGET', KEYS[1], 'state')
if ended then return ended end
redis.call('HSETNX', KEYS[1], 'attempts', 1)
local attempt = redis.call('HINCRBY', KEYS[1], 'attempts', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return tostring(attempt)
