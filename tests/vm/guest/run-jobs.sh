#!/bin/sh
# In the guest, as root: the caches and Debian's archive of the work disk where the tests look for them, then its jobs.
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LC_ALL=C.UTF-8 NO_COLOR=1
for cache in /work/caches/*; do
  [ -d "$cache" ] || continue
  mkdir -p "/var/cache/${cache##*/}"
  mount --bind "$cache" "/var/cache/${cache##*/}"
done
ip link set lo up
cd /work/repository
bun=node_modules/.bin/bun
$bun tests/vm/guest/archive-server.ts /work/archive &
exec $bun tests/vm/guest/run-jobs.ts /results/jobs.json /results
