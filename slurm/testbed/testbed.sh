#!/usr/bin/env bash
# A real Slurm cluster on one machine, for tests. Each node is a network namespace with its own
# host name, address and slurmd, so a message between two nodes crosses TCP. It is not a simulator
# and not a way to run production jobs: nodes share the cores and the file system of this machine.

set -euo pipefail
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin

# Under /run because only root may write there: this script removes the folder as root.
DIR=${RK_TESTBED_DIR:-/run/rk-testbed}
NET=${RK_TESTBED_NET:-10.77.0}
BRIDGE=rk-br0
CONF=$DIR/slurm.conf
BUSY=75

usage() {
  cat <<'EOF'
usage: testbed.sh COMMAND

  up [NODES] [CPUS]   start a cluster (4 nodes of 2 CPUs), print the lines to export
  env                 print those lines again
  rate NODE RATE      limit a node's link in both directions (100mbit, 1gbit; none lifts it)
  cut NODE            take a node's link down
  mend NODE           bring it up again
  kill NODE           end its slurmd and all that runs there at once, as a power cut would
  revive NODE         start its slurmd again
  down                stop the cluster and remove all that `up` made

Nodes are called rk-n1, rk-n2 and so on; NODE is such a name or its number.
  eval "$(testbed.sh up)"; srun -N4 hostname; testbed.sh down

RK_TESTBED_DIR   folder of the cluster's files (default /run/rk-testbed; made by `up`, removed by `down`)
RK_TESTBED_NET   first three parts of its addresses (default 10.77.0)
RK_TESTBED_OWNER a process id: once that process has ended, the next `up` may replace the cluster

Exit codes: 0 done, 1 failed, 2 usage, 3 not root or a package is missing, 75 another testbed is up.
EOF
}

say() { printf 'testbed: %s\n' "$*" >&2; }
die() { local code=$1; shift; say "$*"; exit "$code"; }

# ---- what must be there -------------------------------------------------------------------------

require() {
  [ "$(id -u)" = 0 ] || die 3 "needs root, to make network namespaces and start daemons; run it with sudo"
  local pair packages=()
  for pair in slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client munged:munge ip:iproute2 tc:iproute2 \
    nsenter:util-linux unshare:util-linux flock:util-linux setsid:util-linux hostname:hostname timeout:coreutils; do
    command -v "${pair%%:*}" >/dev/null && continue
    case " ${packages[*]-} " in *" ${pair##*:} "*) ;; *) packages+=("${pair##*:}") ;; esac
  done
  [ ${#packages[@]} -eq 0 ] ||
    die 3 "missing packages; install them with: apt-get update && apt-get install -y ${packages[*]}"
}

number() { [[ $1 =~ ^[1-9][0-9]{0,2}$ ]] && [ "$1" -le "$2" ]; }

node_number() {
  local n=${1#rk-}
  n=${n#n}
  number "$n" 200 && grep -qx "rk-n$n" "$DIR/netns" 2>/dev/null ||
    die 2 "no node '$1' here; nodes: $(tr '\n' ' ' 2>/dev/null <"$DIR/netns" || echo 'none, the testbed is down')"
  echo "$n"
}

# ---- which processes are ours -------------------------------------------------------------------

start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# A pid file may outlive its process, and the number may be somebody else's by now.
ours() {
  [[ ${1:-} =~ ^[0-9]+$ ]] && grep -qzxF "RK_TESTBED_DIR=$DIR" "/proc/$1/environ" 2>/dev/null
}

recorded_pids() {
  local file pid
  for file in "$DIR"/*.pid; do
    [ -f "$file" ] || continue
    pid=$(cat "$file" 2>/dev/null || true)
    if ours "$pid"; then echo "$pid"; fi
  done
}

# Steps and their programs outlive a slurmd, and have no pid file: they are what runs in our namespaces.
namespace_pids() {
  local name
  while read -r name; do
    [ ! -e "/run/netns/$name" ] || ip netns pids "$name" 2>/dev/null || true
  done < <(cat "$DIR/netns" 2>/dev/null || true)
}

all_gone() {
  local pid
  for pid in "$@"; do
    # A zombie is gone: only its parent has still to hear of it.
    case $(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -c1) in '' | Z | X) ;; *) return 1 ;; esac
  done
}

stop() {
  local try
  [ $# -gt 0 ] || return 0
  kill -TERM "$@" 2>/dev/null || true
  for try in $(seq 60); do
    all_gone "$@" && return 0
    sleep 0.1
  done
  kill -KILL "$@" 2>/dev/null || true
  for try in $(seq 20); do
    all_gone "$@" && return 0
    sleep 0.1
  done
  return 1
}

# ---- up -----------------------------------------------------------------------------------------

write_config() {
  local nodes=$1 cpus=$2 tasks=task/affinity i
  # Binding needs the CPUs to be there; nodes that claim more than this machine has run unbound.
  [ "$cpus" -le "$(nproc)" ] || tasks=task/none
  # Open MPI names its segments in /dev/shm, which all nodes and clusters of this machine share, by the job's number: one
  # of an earlier cluster that is still being cleaned up must not have the same.
  # A job that is requeued waits until its credential has expired, which usually takes two minutes, and then for the
  # scheduler to come round, which usually takes half a minute.
  cat >"$CONF" <<EOF
ClusterName=rk-testbed
SlurmctldHost=rk-ctl($NET.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$DIR/munge.socket,cred_expire=5
MpiDefault=pmix
FirstJobId=$(($(date +%s) % 10000000 + 1))
ProctrackType=proctrack/linuxproc
TaskPlugin=$tasks
ReturnToService=2
SlurmctldPidFile=$DIR/slurmctld.pid
SlurmdPidFile=$DIR/%n.pid
SlurmdSpoolDir=$DIR/spool/%n
StateSaveLocation=$DIR/state
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdLogFile=$DIR/log/%n.log
SlurmctldPort=16817
SlurmdPort=16818
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
JobRequeue=1
KillWait=5
SlurmdTimeout=15
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
EOF
  for i in $(seq "$nodes"); do
    echo "NodeName=rk-n$i NodeAddr=$NET.$((10 + i)) CPUs=$cpus RealMemory=4000 State=UNKNOWN"
  done >>"$CONF"
  # Jobs of `urgent` take nodes from those of `debug`, which hear SIGTERM and have half a minute.
  local all="Nodes=rk-n[1-$nodes] MaxTime=INFINITE State=UP"
  echo "PartitionName=debug $all Default=YES PriorityTier=1 GraceTime=30" >>"$CONF"
  echo "PartitionName=urgent $all PriorityTier=2" >>"$CONF"
  # slurmstepd names its PMIx folder by job, not by node: on one file system, nodes would collide.
  echo "PMIxCliTmpDirBase=$DIR/pmix" >"$DIR/mpi.conf"
  # Each node sees this file as its /etc/hosts; the machine's own file stays as it is.
  {
    cat /etc/hosts 2>/dev/null || true
    echo
    echo "$NET.1 rk-ctl"
    for i in $(seq "$nodes"); do echo "$NET.$((10 + i)) rk-n$i"; done
  } >"$DIR/hosts"
}

make_network() {
  local nodes=$1 i
  ip link show "$BRIDGE" >/dev/null 2>&1 &&
    die 1 "there is a network link $BRIDGE that this testbed did not make; if it is a leftover: ip link del $BRIDGE"
  for i in $(seq "$nodes"); do
    [ ! -e "/run/netns/rk-n$i" ] ||
      die 1 "there is a network namespace rk-n$i that this testbed did not make; if it is a leftover: ip netns del rk-n$i"
  done
  [ -z "$(ip -4 -o route show to root "$NET.0/24"; ip -4 -o addr show to "$NET.0/24")" ] ||
    die 1 "this machine already uses addresses $NET.x; choose others with RK_TESTBED_NET (now $NET)"
  # Recorded before it is made: an `up` that is interrupted leaves nothing that `down` cannot find.
  echo "$BRIDGE" >"$DIR/bridge"
  ip link add "$BRIDGE" type bridge ||
    die 1 "cannot make a network bridge; in a container, start it with --privileged"
  ip addr add "$NET.1/24" dev "$BRIDGE"
  ip link set "$BRIDGE" up
  for i in $(seq "$nodes"); do
    echo "rk-n$i" >>"$DIR/netns"
    ip netns add "rk-n$i" || die 1 "cannot make a network namespace; in a container, start it with --privileged"
    ip link add "rk-ve$i" type veth peer name eth0 netns "rk-n$i"
    ip link set "rk-ve$i" master "$BRIDGE" up
    ip -n "rk-n$i" addr add "$NET.$((10 + i))/24" dev eth0
    ip -n "rk-n$i" link set eth0 up
    ip -n "rk-n$i" link set lo up
  done
}

# No daemon may keep the caller's terminal, pipes or lock.
detached() { env -i PATH="$PATH" SLURM_CONF="$CONF" RK_TESTBED_DIR="$DIR" setsid "$@" </dev/null >>"$DIR/log/start.log" 2>&1 9>&-; }

start_munge() {
  # Its own key and socket: a munged of this machine, if there is one, is left alone.
  if command -v mungekey >/dev/null; then
    mungekey --create --keyfile="$DIR/munge/key"
  else
    (umask 077; head -c 1024 /dev/urandom >"$DIR/munge/key")
  fi
  detached munged --key-file="$DIR/munge/key" --socket="$DIR/munge.socket" --pid-file="$DIR/munged.pid" \
    --seed-file="$DIR/munge/seed" --log-file="$DIR/log/munged.log" ||
    die 1 "munged did not start: $(tail -n 3 "$DIR"/log/start.log "$DIR"/log/munged.log 2>/dev/null)"
  munge --socket="$DIR/munge.socket" --no-input >/dev/null || die 1 "munged started but does not answer"
}

start_slurm() {
  local nodes=$1 i
  # The inner shells set the host name of a namespace of their own, never the machine's.
  # shellcheck disable=SC2016
  detached unshare --uts sh -c 'hostname rk-ctl && exec slurmctld' ||
    die 1 "slurmctld did not start: $(tail -n 3 "$DIR/log/start.log")"
  for i in $(seq "$nodes"); do
    mkdir -p "$DIR/spool/rk-n$i" "$DIR/pmix-of/rk-n$i"
    start_slurmd "$i"
  done
}

start_slurmd() {
  # nsenter, since `ip netns exec` hides the cgroup mounts that slurmd wants.
  # shellcheck disable=SC2016
  detached nsenter --net="/run/netns/rk-n$1" unshare --uts --mount sh -c '
    hostname "$1" && { [ ! -e /etc/hosts ] || mount --bind "$2/hosts" /etc/hosts; } && mount --bind "$2/pmix-of/$1" "$2/pmix" && exec slurmd
    ' sh "rk-n$1" "$DIR" ||
    die 1 "slurmd of rk-n$1 did not start: $(tail -n 3 "$DIR/log/start.log")"
}

wait_until_idle() {
  local nodes=$1 try idle=0
  for try in $(seq 150); do
    idle=$(SLURM_CONF=$CONF timeout 10 sinfo --noheader --states=idle --format=%D 2>/dev/null || true)
    if [ "${idle:-0}" = "$nodes" ]; then return 0; fi
    sleep 0.2
  done
  say "only ${idle:-0} of $nodes nodes came up within 30 s:"
  SLURM_CONF=$CONF timeout 10 sinfo --long --Node >&2 || true
  tail -n 5 "$DIR"/log/*.log >&2 || true
  return 1
}

# Is there a cluster whose owner, if it named one, still lives?
in_use() {
  local pid start
  ours "$(cat "$DIR/slurmctld.pid" 2>/dev/null || true)" || return 1
  [ -s "$DIR/owner" ] || return 0
  read -r pid start <"$DIR/owner"
  [ "$(start_time "$pid")" = "$start" ]
}

up() {
  local nodes=${1:-4} cpus=${2:-2} owner=${RK_TESTBED_OWNER:-}
  number "$nodes" 200 || die 2 "NODES must be a number from 1 to 200, not '$nodes'"
  number "$cpus" 999 || die 2 "CPUS must be a number from 1 to 999, not '$cpus'"
  [[ $DIR =~ ^/[A-Za-z0-9_./-]{1,40}$ ]] ||
    die 2 "RK_TESTBED_DIR must be an absolute path of at most 40 plain characters (sockets have short names), not '$DIR'"
  [[ $NET =~ ^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$ ]] ||
    die 2 "RK_TESTBED_NET must be three numbers, like 10.77.0, not '$NET'"
  ! in_use || die $BUSY "a testbed is up already in $DIR; take it down first: testbed.sh down"
  down
  [ ! -e "$DIR" ] || die 1 "$DIR exists and is no testbed's; remove it, or choose another RK_TESTBED_DIR"
  mkdir -p "$DIR"
  touch "$DIR/.rk-testbed"
  trap 'say "not started; removing what was made"; down' EXIT
  trap 'exit 1' INT TERM HUP
  chmod 755 "$DIR"
  mkdir -p "$DIR"/{state,spool,log,pmix,pmix-of}
  mkdir -m 700 "$DIR/munge"
  if [ -n "$owner" ]; then echo "$owner $(start_time "$owner")" >"$DIR/owner"; fi
  write_config "$nodes" "$cpus"
  make_network "$nodes"
  start_munge
  start_slurm "$nodes"
  wait_until_idle "$nodes"
  trap - EXIT INT TERM HUP
  environment
}

# ---- down ---------------------------------------------------------------------------------------

down() {
  local try name pids
  [ -f "$DIR/.rk-testbed" ] || return 0
  if ours "$(cat "$DIR/slurmctld.pid" 2>/dev/null || true)"; then
    SLURM_CONF=$CONF timeout 10 scancel --user=root >/dev/null 2>&1 || true
    for try in $(seq 20); do
      [ -n "$(SLURM_CONF=$CONF timeout 10 squeue --noheader 2>/dev/null || true)" ] || break
      sleep 0.1
    done
  fi
  mapfile -t pids < <({ recorded_pids; namespace_pids; } | sort -un)
  stop "${pids[@]}" || say "some processes did not end: ${pids[*]}"
  # A step that was being started while its slurmd ended.
  mapfile -t pids < <(namespace_pids | sort -un)
  stop "${pids[@]}" || say "some processes did not end: ${pids[*]}"
  while read -r name; do
    ip link del "rk-ve${name#rk-n}" 2>/dev/null || true
    if [ -e "/run/netns/$name" ]; then ip netns del "$name"; fi
  done < <(cat "$DIR/netns" 2>/dev/null || true)
  if [ -s "$DIR/bridge" ]; then ip link del "$(cat "$DIR/bridge")" 2>/dev/null || true; fi
  rm -rf -- "$DIR"
}

# ---- what the user holds in hand ----------------------------------------------------------------

environment() {
  echo "export SLURM_CONF=$CONF"
  # What is tested here crosses nodes, and all nodes are one machine with one /dev/shm.
  echo "export OMPI_MCA_btl=self,tcp"
}

is_up() { [ -f "$DIR/.rk-testbed" ] || die 1 "the testbed is down; start it with: testbed.sh up"; }

rate() {
  local link
  link=rk-ve$(node_number "$1")
  tc qdisc del dev "$link" root 2>/dev/null || true
  tc -n "rk-n${link#rk-ve}" qdisc del dev eth0 root 2>/dev/null || true
  [ "$2" != none ] || return 0
  tc qdisc add dev "$link" root tbf rate "$2" burst 256kb latency 20ms ||
    die 1 "cannot limit $link to '$2'; give a rate such as 100mbit, or none"
  tc -n "rk-n${link#rk-ve}" qdisc add dev eth0 root tbf rate "$2" burst 256kb latency 20ms
}

power_cut() {
  local n pids try
  n=$(node_number "$1")
  # Again and again: whatever is just being started there must not survive.
  for try in $(seq 50); do
    mapfile -t pids < <(ip netns pids "rk-n$n" 2>/dev/null)
    if [ ${#pids[@]} -eq 0 ] || all_gone "${pids[@]}"; then return 0; fi
    kill -KILL "${pids[@]}" 2>/dev/null || true
    sleep 0.05
  done
  die 1 "some processes on rk-n$n did not end: ${pids[*]}"
}

revive() {
  local n
  n=$(node_number "$1")
  ! ours "$(cat "$DIR/rk-n$n.pid" 2>/dev/null || true)" || die 1 "the slurmd of rk-n$n is running"
  start_slurmd "$n"
}

link_state() { local n; n=$(node_number "$1"); ip link set "rk-ve$n" "$2"; }

main() {
  local command=${1:-}
  [ $# -eq 0 ] || shift
  case $command:$# in
    help:* | -h:* | --help:*) usage; return ;;
    up:[012] | down:0 | env:0 | rate:2 | cut:1 | mend:1 | kill:1 | revive:1) ;;
    *) usage >&2; exit 2 ;;
  esac
  require
  # The folder above: a lock file of our own would be left over.
  mkdir -p "$(dirname "$DIR")"
  exec 9<"$(dirname "$DIR")"
  flock --wait 120 9 || die $BUSY "another testbed.sh has been at work for two minutes"
  case $command in
    up) up "$@" ;;
    down) down ;;
    env) is_up; environment ;;
    rate) is_up; rate "$@" ;;
    cut) is_up; link_state "$1" down ;;
    mend) is_up; link_state "$1" up ;;
    kill) is_up; power_cut "$1" ;;
    revive) is_up; revive "$1" ;;
  esac
}

main "$@"
