#!/usr/bin/env bash
# A SLURM of one node on this machine, for tests: slurm_node.sh install | start DIR | stop DIR
#
# `install` brings Debian's packages where they are missing. `start` keeps all state below DIR and prints the line that a
# shell needs to use it (export SLURM_CONF=...). Both need root. `stop` ends what `start` began, by process id.
set -euo pipefail
action=${1:?install, start or stop}
dir=$(realpath -m "${2:-.}")

install() {
  for tool in slurmctld slurmd munged sbatch; do
    command -v $tool >/dev/null && continue
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge >/dev/null
    return
  done
}

start() {
  mkdir -p "$dir"/{state,spool,munge}
  # munge refuses a key or socket in a folder that others could have changed.
  chmod 755 "$dir" && chmod 700 "$dir/munge"
  chown -R munge: "$dir/munge"
  dd if=/dev/urandom of="$dir/munge/key" bs=128 count=1 status=none
  chown munge: "$dir/munge/key" && chmod 400 "$dir/munge/key"
  chmod 711 "$dir/munge"
  runuser -u munge -- munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
    --pid-file="$dir/munge/pid" --log-file="$dir/munge/log" --seed-file="$dir/munge/seed"
  node=$(hostname -s)
  ports=$(python3 - <<'P'
import socket
sockets = [socket.socket() for _ in range(2)]
for each in sockets: each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))
P
)
  cat >"$dir/slurm.conf" <<C
ClusterName=test
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
SlurmctldPort=${ports% *}
SlurmdPort=${ports#* }
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(free -m | awk '/^Mem/ {print int($2 * 0.9)}') State=UNKNOWN
PartitionName=main Nodes=$node Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
C
  slurmctld -f "$dir/slurm.conf"
  slurmd -f "$dir/slurm.conf" -N "$node"
  export SLURM_CONF="$dir/slurm.conf"
  for _ in $(seq 60); do
    if sinfo --noheader --format=%T 2>/dev/null | grep -q idle; then
      echo "export SLURM_CONF=$dir/slurm.conf"
      return
    fi
    sleep 0.5
  done
  tail -5 "$dir"/*.log >&2
  echo "the node did not come up" >&2
  exit 1
}

stop() {
  for pid in "$dir/slurmd.pid" "$dir/slurmctld.pid" "$dir/munge/pid"; do
    if [ -s "$pid" ]; then
      number=$(cat "$pid")
      kill "$number" 2>/dev/null || continue
      for _ in $(seq 100); do kill -0 "$number" 2>/dev/null || break; sleep 0.1; done
    fi
  done
}

"$action"
