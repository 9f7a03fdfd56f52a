-- Replaces the lineage of a job that has ended, if its record is still there.
-- KEYS: job. ARGV: lineage
if redis.call('HEXISTS', KEYS[1], 'state') == 0 then return 0 end
return redis.call('HSET', KEYS[1], 'lineage', ARGV[1])
