-- Notes that jobs are being run. What was not reported for a while is forgotten: its worker has ended it, or is dead.
-- KEYS: the bucket's running jobs. ARGV: how long a report counts in ms, then each job
local now = redis.call('TIME')
local millis = now[1] * 1000 + math.floor(now[2] / 1000)
for at = 2, #ARGV do redis.call('ZADD', KEYS[1], string.format('%.0f', millis), ARGV[at]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', millis - ARGV[1]))
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
