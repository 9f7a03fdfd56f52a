-- Replaces the lineage of a job that has ended, if its record is still there. Its end by its id alone could not know its
-- webhook: that is told now.
-- KEYS: job, outbox. ARGV: lineage, id, model, version, metadata as JSON, webhook (each '' where there is none), how long
-- the outbox is kept in ms
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 0 end
if ARGV[6] ~= '' then
    redis.call('XADD', KEYS[2], '*', 'id', ARGV[2], 'state', state, 'model', ARGV[3], 'version', ARGV[4],
        'code', '', 'metadata', ARGV[5], 'url', ARGV[6],
        'committed_at', redis.call('HGET', KEYS[1], 'committed_at'))
    redis.call('PEXPIRE', KEYS[2], ARGV[7])
end
return redis.call('HSET', KEYS[1], 'lineage', ARGV[1])
