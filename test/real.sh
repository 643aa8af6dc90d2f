#!/usr/bin/env bash
# Runs a command beside a real Redis and a real Apache Kafka, which live and end with it:
#
#   test/real.sh go test -race -tags integration ./...
#   KAFKA_NODES=3 test/real.sh COMMAND...     a cluster of three, min.insync.replicas=2
#   BROKER_JIT=4 test/real.sh COMMAND...      brokers that start slowly and then run fast
#
# The command finds them in TEST_REDIS_URL and TEST_KAFKA_BROKERS. Whichever of the two is
# already set is used as it is, and nothing of that kind is started. The exit code is the
# command's own.
#
# shellcheck disable=SC2317 # Traps and await call functions by name.
set -euo pipefail

readonly ready_seconds=60 stop_seconds=5
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
nodes=${KAFKA_NODES:-1}
jit=${BROKER_JIT:-1}
unset KAFKA_NODES  # The gateway refuses a KAFKA_ variable that it does not know.
dir=               # Data, configuration and logs of this run.
tests=             # Process group of the command while it runs.
declare -A logs=() # Log of each service, by process id.

main() {
  (($#)) || fail "usage: test/real.sh COMMAND [ARGUMENT...]"
  [[ $nodes == [1-5] ]] || fail "KAFKA_NODES must be 1 to 5, not '$nodes'"
  trap clean_up EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  dir=$(mktemp -d -t gateway-test.XXXXXX)

  install_missing
  [[ -n ${TEST_REDIS_URL:-} ]] || start_redis
  [[ -n ${TEST_KAFKA_BROKERS:-} ]] || start_kafka
  export TEST_REDIS_URL TEST_KAFKA_BROKERS
  run_tests "$@"
}

install_missing() {
  local packages=()
  has kcat || packages+=(kcat)
  if [[ -z ${TEST_REDIS_URL:-} ]]; then
    has redis-server || packages+=(redis-server)
  fi
  if [[ -z ${TEST_KAFKA_BROKERS:-} ]]; then
    has java || packages+=(default-jdk-headless)
    has mvn || packages+=(maven)
  fi
  ((${#packages[@]})) || return 0

  if ((EUID != 0)) || ! has apt-get; then
    fail "please install, by the names of Debian's packages: ${packages[*]}"
  fi
  say "installing ${packages[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -qq -y --no-install-recommends "${packages[@]}" >&2
}

start_redis() {
  local port
  port=$(free_ports 1)
  start "$dir/redis.log" redis-server --bind 127.0.0.1 --port "$port" --dir "$dir" \
    --save '' --appendonly no --maxmemory-policy noeviction
  await redis-cli -h 127.0.0.1 -p "$port" ping
  TEST_REDIS_URL=redis://127.0.0.1:$port/0
  say "Redis is at $TEST_REDIS_URL"
}

# start_kafka starts nodes that are broker and controller in one. Node i serves clients on
# port first+2i, and the other controllers on the port after it.
start_kafka() {
  local began=$SECONDS first i java brokers=() voters=()
  say "resolving Apache Kafka with Maven, 45 MB the first time"
  step "$dir/maven.log" mvn -q -B -ntp -Dstyle.color=never -f "$here/kafka/pom.xml" \
    dependency:build-classpath -Dmdep.outputFile="$dir/classpath"
  # Tests are short: a quick start is worth more to them than peak speed.
  java=(java -Xmx512m -XX:+UseSerialGC "-XX:TieredStopAtLevel=$jit" -XX:-UsePerfData
    -Djava.io.tmpdir="$dir" -Dlog4j2.level=INFO -cp "$(<"$dir/classpath")")

  first=$(free_ports $((2 * nodes)))
  for ((i = 0; i < nodes; i++)); do
    brokers+=("127.0.0.1:$((first + 2 * i))")
    voters+=("$i@127.0.0.1:$((first + 2 * i + 1))")
  done
  for ((i = 0; i < nodes; i++)); do
    node_properties "$i" "${brokers[i]}" "${voters[i]#*@}" "$(join "${voters[@]}")" >"$dir/$i.properties"
    step "$dir/kafka-$i.log" "${java[@]}" kafka.tools.StorageTool format \
      --cluster-id awareid-gateway-tests0 --config "$dir/$i.properties"
    start "$dir/kafka-$i.log" "${java[@]}" kafka.Kafka "$dir/$i.properties"
  done
  await kafka_answers "${brokers[@]}"
  TEST_KAFKA_BROKERS=$(join "${brokers[@]}")
  say "Kafka is at $TEST_KAFKA_BROKERS after $((SECONDS - began)) s"
}

node_properties() { # node_properties ID BROKER CONTROLLER VOTERS
  local min_insync=$((nodes > 1 ? 2 : 1))
  cat <<EOF
process.roles=broker,controller
node.id=$1
controller.quorum.voters=$4
listeners=BROKER://$2,CONTROLLER://$3
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs=$dir/kafka-$1
# A topic that nobody created is an error of the test.
auto.create.topics.enable=false
default.replication.factor=$nodes
min.insync.replicas=$min_insync
offsets.topic.replication.factor=$nodes
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=$nodes
transaction.state.log.min.isr=$min_insync
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
# The default buffer takes 128 MiB of heap.
log.cleaner.dedupe.buffer.size=4194304
EOF
}

# kafka_answers tells whether each of the brokers sees all of them.
kafka_answers() { # kafka_answers BROKER...
  local broker
  for broker; do
    [[ $(kcat -L -m 1 -b "$broker") == *" $# brokers:"* ]] || return 1
  done
}

# run_tests gives the command a process group of its own, so that an interruption can end
# all of it, and the signals that a shell would have its background processes ignore. It
# stays in the session of the services: where Linux shares the processors between sessions
# first (sched_autogroup), "nice" says nothing between two of them.
run_tests() {
  local status=0
  set -m
  env --default-signal=INT,QUIT "$@" &
  tests=$!
  set +m
  wait "$tests" || status=$?
  tests=
  ((status == 0)) || show_logs_of_dead || true
  exit "$status"
}

# start begins a service. Should this script be killed outright, the kernel ends the
# service too.
start() { # start LOG COMMAND...
  local log=$1
  shift
  setpriv --pdeathsig KILL "$@" &>>"$log" &
  logs[$!]=$log
}

step() { # step LOG COMMAND...
  start "$@"
  local pid=$!
  wait "$pid" || { show_log "$1"; fail "failed: $2"; }
  unset "logs[$pid]"
}

# await repeats a command until it succeeds. It fails when a service has ended, or after
# ready_seconds.
await() { # await COMMAND...
  local deadline=$((SECONDS + ready_seconds)) log
  until "$@" &>/dev/null; do
    show_logs_of_dead || fail "a service ended while it started"
    if ((SECONDS >= deadline)); then
      for log in "${logs[@]}"; do show_log "$log"; done
      fail "not ready after $ready_seconds s: $*"
    fi
    sleep 0.1
  done
}

# show_logs_of_dead fails where a service has ended.
show_logs_of_dead() {
  local pid dead=0
  for pid in "${!logs[@]}"; do
    kill -0 "$pid" 2>/dev/null || { show_log "${logs[$pid]}"; dead=1; }
  done
  return "$dead"
}

# clean_up ends what this script started and nothing else. The services get SIGKILL, as
# their data goes with them.
clean_up() {
  trap '' HUP INT TERM
  [[ -z $tests ]] || end_tests
  local pids
  mapfile -t pids < <(jobs -rp)
  ((${#pids[@]} == 0)) || kill -KILL "${pids[@]}"
  wait 2>/dev/null
  rm -rf "$dir"
}

end_tests() {
  local deadline=$((SECONDS + stop_seconds))
  kill -TERM -- "-$tests" 2>/dev/null || return 0
  while kill -0 -- "-$tests" 2>/dev/null; do
    ((SECONDS < deadline)) || { kill -KILL -- "-$tests"; break; }
    sleep 0.1
  done
}

# free_ports prints the first of COUNT consecutive ports that nothing on loopback answers.
# They lie below the range that systems take for outgoing connections.
free_ports() { # free_ports COUNT
  local first port
  while :; do
    first=$((20000 + RANDOM % 12000))
    for ((port = first; port < first + $1; port++)); do
      (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null && continue 2
    done
    echo "$first"
    return
  done
}

has() { command -v "$1" >/dev/null; }
join() { local IFS=,; echo "$*"; }
say() { echo "real.sh: $*" >&2; }
fail() { say "$*"; exit 1; }
show_log() { say "the end of $(basename "$1"):"; tail -n 40 "$1" >&2; }

main "$@"
