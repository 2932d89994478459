#!/bin/sh
# in-root.sh DIRECTORY VERSION COMMAND...: runs the command in the repository, with another root directory that has LXC of
# that version. The mounts are this process's own, and so is the root: a chroot would not do, because whoever joins a
# mount namespace gets that namespace's root, not the chroot.
set -eu
if [ "${IN_ROOT:-}" != yes ]; then
  IN_ROOT=yes exec unshare --mount --propagation private sh "$0" "$@"
fi
root=$1 version=$2
shift 2
mount --bind "$root" "$root"
for directory in proc sys dev; do
  mkdir -p "$root/$directory"
  mount --rbind "/$directory" "$root/$directory"
done
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
mkdir -p "$root/$PWD"
mount --bind "$PWD" "$root/$PWD"
found=$(chroot "$root" lxc-start --version)
case $found in
  "$version".*) ;;
  *)
    echo "error: $root has LXC $found, want $version" >&2
    exit 1
    ;;
esac
echo "LXC $found"
repository=$PWD
cd "$root"
mkdir -p former-root
pivot_root . former-root
# shellcheck disable=SC2016
exec chroot . sh -euc 'umount -l /former-root; cd "$1"; shift; exec "$@"' sh "$repository" "$@"
