-- Notes that a job's first delivery ended before the job was begun, so that its next one is the first attempt. A job that has
-- ended, or whose attempts are counted already, is left as it is.
-- KEYS: job. ARGV: how long to remember it, in ms
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'attempts', 0)
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
