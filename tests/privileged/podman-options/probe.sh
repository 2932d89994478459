#!/bin/sh
# Everything of a container that an option may change, in one text. Without arguments all of it, else the named sections.
all='status ids process env limits namespaces idmap uts cgroup mounts dev fds etc sysctl cgroup-files writable masked tmpfs net'
stats() { stat -c '%n %F %a %u %g %t:%T' "$@" 2>/dev/null; }
for section in ${*:-$all}; do
  echo "== $section"
  case $section in
  status)
    grep -E '^(Umask|Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|SigBlk|SigIgn|SigCgt|Cpus_allowed_list|Mems_allowed_list)' /proc/self/status
    cat /proc/self/oom_score_adj /proc/self/personality
    cat /proc/self/attr/current 2>/dev/null ;;
  ids) id ;;
  process) echo "pid $$" | sed "s/ [1-9][0-9].*/ another/; s/ [2-9]$/ another/"; pwd; umask; tty; cat /proc/1/comm ;;
  env) env | sort ;;
  limits) cat /proc/self/limits ;;
  namespaces) for n in cgroup ipc mnt net pid user uts time; do readlink /proc/self/ns/$n; done ;;
  idmap) cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups ;;
  uts) hostname; cat /proc/sys/kernel/domainname ;;
  cgroup) cat /proc/self/cgroup ;;
  mounts) cat /proc/self/mountinfo ;;
  dev) stats /dev /dev/* /dev/pts/*; for link in /dev/*; do [ -L "$link" ] && echo "$link $(readlink "$link")"; done ;;
  fds) for fd in /proc/self/fd/*; do echo "$fd $(readlink "$fd")"; done | grep -v 'fd/10 ' ;;
  etc) cat /etc/hosts /etc/resolv.conf; cat /etc/hostname; echo ;;
  sysctl)
    for f in kernel/shmmax kernel/msgmax net/ipv4/ip_forward net/ipv4/ip_unprivileged_port_start net/ipv4/ping_group_range \
      fs/mqueue/msg_max; do echo "$f $(cat /proc/sys/$f 2>&1)"; done ;;
  cgroup-files)
    cd /sys/fs/cgroup 2>/dev/null || continue
    if [ -e cgroup.controllers ]; then
      # In the host's cgroup namespace it is the root of all that is seen there.
      cd "./$(sed -n 's/^0:://p' /proc/self/cgroup)" 2>/dev/null || echo "its own group is not seen"
      files="cgroup.controllers cgroup.subtree_control memory.max memory.swap.max memory.high memory.low memory.min \
        memory.oom.group cpu.max cpu.max.burst cpu.weight cpu.idle cpuset.cpus cpuset.mems cpuset.cpus.effective pids.max \
        io.max io.weight io.bfq.weight hugetlb.2MB.max rdma.max"
    else
      files="memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes memory/memory.soft_limit_in_bytes \
        memory/memory.swappiness memory/memory.oom_control cpu/cpu.shares cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us \
        cpuset/cpuset.cpus cpuset/cpuset.mems pids/pids.max blkio/blkio.weight blkio/blkio.bfq.weight \
        blkio/blkio.throttle.read_bps_device blkio/blkio.throttle.write_iops_device"
    fi
    for f in $files; do echo "$f: $(cat $f 2>&1)"; done
    [ -d devices ] && sort devices/devices.list 2>&1
    cd / ;;
  writable)
    for p in / /tmp /run /dev /dev/shm /proc/sys/kernel/domainname /proc/sysrq-trigger /sys/fs/cgroup /sys/fs/cgroup/memory \
      /sys/kernel /data /var/tmp /mnt; do [ -w "$p" ] && echo "$p"; done ;;
  masked)
    for p in /proc/kcore /proc/keys /proc/timer_list /proc/acpi /proc/scsi /sys/firmware /sys/dev/block /proc/bus /proc/asound \
      /proc/interrupts; do [ -e "$p" ] && echo "$p $(stats "$p" | cut -d' ' -f2-) $(ls "$p" | wc -l)"; done ;;
  tmpfs)
    stats / /tmp /run /dev/shm /dev/mqueue /var/tmp /data /data/* /mnt /mnt/*
    df -k /dev/shm /tmp /run /mnt 2>/dev/null | awk '{print $1, $2, $6}' | grep -e tmpfs -e shm ;;
  net) ip -o addr 2>/dev/null | sed 's/ *\\.*//'; ip route 2>/dev/null ;;
  esac
done
exit 0
