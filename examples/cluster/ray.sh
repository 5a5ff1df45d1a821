#!/usr/bin/env bash
# A Ray cluster of two or more hosts, which need no folder in common. On each host the same versions
# of Python, seal and Ray (`pip install 'seal-adapt[ray]'`):
#
#     host 1:  examples/cluster/ray.sh head                  # prints its address, HOST:6379
#     host 1:  scp ~/.ray/auth_token host2:.ray/auth_token   # the folder made and closed to others
#     host 2:  examples/cluster/ray.sh node HOST:6379
#     host 1:  examples/cluster/ray.sh run HOST:6379 score generate-0123… --repeats 3
#     both:    examples/cluster/ray.sh stop                  # ends EVERY Ray on that host, see below
#
# `run` lists the nodes and prints the id. The store is that of the host where it runs; whatever ends
# it, the same command goes on. `stop` is `ray stop`: it goes by the names of processes and ends other
# clusters and other people's, too, where it may; on a host that is shared, end the processes that
# `head` or `node` started by their numbers instead. HOST (its address) and PORT can be set for `head`.
set -euo pipefail
# Whoever reaches the port of a cluster without tokens may run programs in it. `ray start` asks for
# one only where it is told to; a cluster that `seal` begins by itself does so anyway.
export RAY_AUTH_MODE=token

case ${1:-} in
  head)
    host=${HOST:-$(hostname -I | cut -d' ' -f1)}
    port=${PORT:-6379}
    ray get-auth-token --generate >/dev/null
    ray start --head --node-ip-address="$host" --port="$port" --include-dashboard=false \
      --disable-usage-stats >&2
    echo "$host:$port"
    ;;
  node) ray start --address="$2" ${HOST:+--node-ip-address="$HOST"} --disable-usage-stats >&2 ;;
  run)
    seal doctor --ray --ray-address "$2" >&2
    seal "${@:3}" --executor ray --ray-address "$2"
    ;;
  stop) ray stop >&2 ;;
  *)
    echo "$0: write head, node HOST:PORT, run HOST:PORT STAGE..., or stop" >&2
    exit 2
    ;;
esac
