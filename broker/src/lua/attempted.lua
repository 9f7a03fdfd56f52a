-- Writes down what an attempt at a delivery came to.
-- KEYS: delivery, what its destination is due, destinations, pending, the list of the state it has now. ARGV: id,
-- destination, state, when it is due again in ms ('' if it is over), now in ms, result, how long it is kept when over in ms
local created = redis.call('HGET', KEYS[1], 'created_at')
if not created or ARGV[4] == '' then
    redis.call('ZREM', KEYS[2], ARGV[1])
    redis.call('ZREM', KEYS[4], ARGV[1])
end
if created then
    redis.call('HINCRBY', KEYS[1], 'attempts', 1)
    redis.call('HSET', KEYS[1], 'state', ARGV[3], 'last_at', ARGV[5], 'last_result', ARGV[6])
    if ARGV[4] == '' then
        redis.call('HDEL', KEYS[1], 'next_at')
        redis.call('ZADD', KEYS[5], created, ARGV[1])
        redis.call('PEXPIRE', KEYS[1], ARGV[7])
    else
        redis.call('HSET', KEYS[1], 'next_at', ARGV[4])
        redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
    end
end
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
if first[1] then
    redis.call('ZADD', KEYS[3], first[2], ARGV[2])
else
    redis.call('ZREM', KEYS[3], ARGV[2])
end
return 1
