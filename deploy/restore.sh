#!/usr/bin/env bash
# Puts a backup of backup.sh back, into folders that are empty or not there. Start the servers and the ingests afterwards.
set -euo pipefail

usage() {
    echo "usage: restore.sh --from DIR --nats-data DIR --redis-data DIR --job-id-keys FILE" >&2
    exit 64
}

while (($# > 0)); do
    case "$1" in
    --from | --nats-data | --redis-data | --job-id-keys)
        (($# > 1)) || usage
        name=${1#--}
        declare "${name//-/_}=$2"
        shift 2
        ;;
    *) usage ;;
    esac
done
for name in from nats_data redis_data job_id_keys; do
    [[ -n ${!name:-} ]] || usage
done
for part in nats redis job-id-keys.json; do
    [[ -e $from/$part ]] || { echo "restore.sh: $from is no backup: it has no $part" >&2; exit 66; }
done
# nothing of what is there may be lost to a mistake
for folder in "$nats_data" "$redis_data"; do
    [[ ! -e $folder || -z $(ls -A "$folder") ]] || { echo "restore.sh: $folder is not empty" >&2; exit 73; }
done
[[ ! -e $job_id_keys ]] || { echo "restore.sh: $job_id_keys is there already" >&2; exit 73; }

umask 077
mkdir -p "$nats_data" "$redis_data" "$(dirname "$job_id_keys")"
cp -a "$from/nats/." "$nats_data"
cp -a "$from/redis/." "$redis_data"
cp -p "$from/job-id-keys.json" "$job_id_keys"
sync
echo "restore.sh: $from is back"
