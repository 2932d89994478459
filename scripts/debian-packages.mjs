/** Debian packages by command, each with what needs it. "a|b": either will do, a is installed if both are missing. */
export const PACKAGES = [
  // The engine whose containers are fixed, and what it calls.
  ["podman", "demo test bench", "the engine whose containers get the fix"],
  ["lxc", "demo test test:validation bench", "lxc-start, which the runtime crio-lxc starts containers with"],
  [
    "gcc",
    "demo test test:vm test:validation bench",
    "makes crio-lxc and the player, its init; ELF files to check",
  ],
  ["libc6-dev", "demo test test:vm test:validation bench", "as gcc"],
  [
    "runc",
    "demo test test:validation bench",
    "the runtime of the demo's other way, and what crio-lxc is compared with",
  ],
  ["conmon", "demo test bench", "Podman's monitor of a container"],
  ["catatonit", "demo test bench", "podman run --init"],
  ["netavark|containernetworking-plugins", "demo test bench", "the network of Podman's containers"],
  ["iptables", "demo test bench", "called by netavark"],
  ["uidmap", "demo test bench", "called by buildah and by Podman's user namespaces"],
  ["iproute2", "demo test bench", "removes the network bridge of the demo"],
  // What makes and moves the images.
  ["debootstrap", "demo test test:vm bench", "makes the root directories of the images"],
  ["umoci", "demo test test:vm bench", "makes OCI images of root directories"],
  ["buildah", "demo test bench", "builds images"],
  ["skopeo", "demo test bench", "copies images between registries, layouts and engines"],
  ["xz-utils", "demo test test:vm bench", "xz members of .deb files"],
  ["zstd", "demo test bench", "zstd layers of images"],
  ["gpgv", "demo test test:vm bench", "checks the signature of an apt repository"],
  [
    "debian-archive-keyring",
    "demo test test:vm test:validation bench",
    "Debian's keys, for gpgv and debootstrap",
  ],
  // What only tests compare with or make their input with.
  ["busybox-static", "test test:vm", "the programs in the containers of crio-lxc's tests"],
  ["strace", "test", "kills crio-lxc at a given system call"],
  ["python3", "test", "makes system calls under a compiled seccomp filter"],
  ["procps", "test", "ps, to see what tests left running"],
  ["binutils", "test", "readelf, to compare with"],
  ["fsverity", "test", "fs-verity digests, to compare with"],
  ["erofs-utils", "test", "fsck.erofs and dump.erofs, to compare with"],
  ["xfsprogs", "test", "a filesystem with reflinks"],
  ["attr", "test", "getfattr and setfattr, to compare with"],
  ["gnupg", "test", "signs the apt repositories of tests"],
  ["apt-utils", "test", "apt-ftparchive makes the apt repositories of tests"],
  // What the virtual machine is made with.
  ["qemu-system-x86", "test:vm", "the virtual machine"],
  ["mmdebstrap", "test:vm", "root directories for it, of packages alone"],
  ["e2fsprogs", "test:vm", "its disks"],
  ["cpio", "test:vm", "its initial RAM disk"],
];
