-- Makes a delivery that is due at once, unless it was made before.
-- KEYS: delivery, what its destination is due, destinations, pending, delivered, failed. ARGV: id, url, destination, body,
-- now in ms, how long it is kept in ms
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'url', ARGV[2], 'destination', ARGV[3], 'body', ARGV[4], 'state', 'pending',
    'created_at', ARGV[5], 'attempts', 0, 'next_at', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('ZADD', KEYS[2], ARGV[5], ARGV[1])
redis.call('ZADD', KEYS[3], 'LT', ARGV[5], ARGV[3])
redis.call('ZADD', KEYS[4], ARGV[5], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', string.format('%.0f', ARGV[5] - ARGV[6]))
local over = string.format('%.0f', ARGV[5] - ARGV[6])
redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', over)
redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', over)
return 1
