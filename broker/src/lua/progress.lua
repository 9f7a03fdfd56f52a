-- Tells what some rows of a job have given, unless the job has ended or a newer attempt is in charge. Told again, it stays as
-- it is; the first of an attempt makes what earlier attempts told go.
-- KEYS: job, its progress. ARGV: id, attempt, first row, rows, rows done, rows of the job, outputs, how long the job's hash
-- is kept in ms, how long the progress is kept in ms, hints
local known = redis.call('HMGET', KEYS[1], 'state', 'attempts', 'progress')
if known[1] or (known[2] or '1') ~= ARGV[2] then return 0 end
local attempt, done = string.match(known[3] or '', '^(%d+) (%d+)')
local is_first = attempt ~= ARGV[2]
if not is_first and tonumber(done) >= tonumber(ARGV[5]) then return 0 end
redis.call('HSET', KEYS[1], 'progress', ARGV[2] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[8])
redis.call('XADD', KEYS[2], 'MAXLEN', is_first and 1 or ARGV[6], '*', 'attempt', ARGV[2], 'from_row', ARGV[3],
    'rows', ARGV[4], 'rows_done', ARGV[5], 'rows_total', ARGV[6], 'outputs', ARGV[7])
redis.call('PEXPIRE', KEYS[2], ARGV[9])
redis.call('PUBLISH', ARGV[10], ARGV[1] .. ' progress')
return 1
