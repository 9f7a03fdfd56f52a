-- Frees an idempotency key, if it still stands for what the caller put there.
-- KEYS: record. ARGV: the record as it was put
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
