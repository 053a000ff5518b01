#!/bin/bash
# Run a command beside a Ray cluster of two nodes with one core each: two hosts in network namespaces of their own,
# 10.77.0.1 and 10.77.0.2, which nothing outside reaches. To be called by `unshare --map-root-user --net --pid --fork
# --mount-proc --kill-child`, which ends everything with this process.
#
#     two_nodes.sh FOLDER COMMAND…
#
# FOLDER takes Ray's files. `up` appears there when both nodes are; the second host is lost when somebody makes `lose`.
set -euo pipefail
folder=$1
shift
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$folder/token
head --bytes 32 /dev/urandom | base64 > "$RAY_AUTH_TOKEN_PATH"
ip link set lo up
unshare --net sleep infinity &
second=$!
until [ "$(readlink /proc/$second/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.05; done
ip link add first type veth peer name second netns $second
ip address add 10.77.0.1/24 dev first
ip link set first up
nsenter --target $second --net sh -c 'ip link set lo up; ip address add 10.77.0.2/24 dev second; ip link set second up'
common=(--num-cpus 1 --object-store-memory 200000000 --disable-usage-stats)
ray start --head --node-ip-address 10.77.0.1 --port 6379 --include-dashboard false --temp-dir "$folder/1" \
    "${common[@]}" > "$folder/head.log" 2>&1
nsenter --target $second --net ray start --address 10.77.0.1:6379 --node-ip-address 10.77.0.2 --temp-dir "$folder/2" \
    "${common[@]}" > "$folder/node.log" 2>&1
lose() {
    until [ -e "$folder/lose" ]; do sleep 0.1; done
    # But for the process that holds the namespace: with it the first host would lose its address.
    for process in /proc/[0-9]*; do
        if [ "$(readlink "$process/ns/net")" = "$(readlink /proc/$second/ns/net)" ]; then echo "${process#/proc/}"; fi
    done | grep --invert-match --line-regexp $second | xargs kill -9
}
lose 2> /dev/null &
touch "$folder/up"
"$@"
