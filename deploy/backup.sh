#!/usr/bin/env bash
# Copies what Gristmill must not lose, while everything runs: JetStream, then Redis, then the key file that signs job ids.
# The order matters (docs/OPERATIONS.md). Needs redis-cli, and the right to pause nats-server: it is stopped for as long as
# its files are copied, which are as they would be after a power cut then. Redis goes on: its file only grows meanwhile.
set -euo pipefail

usage() {
    echo "usage: backup.sh --nats-data DIR --nats-pid PID --redis-data DIR --redis-url URL --job-id-keys FILE --to DIR" >&2
    exit 64
}

while (($# > 0)); do
    case "$1" in
    --nats-data | --nats-pid | --redis-data | --redis-url | --job-id-keys | --to)
        (($# > 1)) || usage
        name=${1#--}
        declare "${name//-/_}=$2"
        shift 2
        ;;
    *) usage ;;
    esac
done
for name in nats_data nats_pid redis_data redis_url job_id_keys to; do
    [[ -n ${!name:-} ]] || usage
done
# as for a process of ours: the URL, or @ and a file that holds it
[[ $redis_url != @* ]] || redis_url=$(<"${redis_url#@}")
[[ ! -e $to ]] || { echo "backup.sh: $to is there already" >&2; exit 73; }

# a password on a command line is everybody's: redis-cli takes it from its environment
rest=${redis_url#*://}
user=()
if [[ $rest == *@* ]]; then
    login=${rest%@*}
    export REDISCLI_AUTH=${login#*:}
    user=(--user "${login%%:*}")
fi
redis() { redis-cli -u "${redis_url%%://*}://${rest##*@}" "${user[@]}" "$@"; }

copy() { # everything but logs and locks
    mkdir -p "$2"
    tar -C "$1" --exclude='*.log' --exclude=./lock -cf - . | tar -C "$2" -xpf -
}

umask 077
unfinished="$to.unfinished"
rm -rf "$unfinished"
mkdir -p "$unfinished"

trap 'kill -CONT "$nats_pid"' EXIT
kill -STOP "$nats_pid"
copy "$nats_data" "$unfinished/nats"
kill -CONT "$nats_pid"

before=$(redis CONFIG GET auto-aof-rewrite-percentage | tail -n 1)
trap 'redis CONFIG SET auto-aof-rewrite-percentage "$before" >/dev/null' EXIT
# while the file is rewritten its parts change places
redis CONFIG SET auto-aof-rewrite-percentage 0 >/dev/null
while redis INFO persistence | grep -q '^aof_rewrite_in_progress:1\|^aof_rewrite_scheduled:1'; do sleep 1; done
copy "$redis_data" "$unfinished/redis"

cp -p "$job_id_keys" "$unfinished/job-id-keys.json"
sync
mv "$unfinished" "$to"
echo "backup.sh: $to ($(du -sh "$to" | cut -f 1))"
