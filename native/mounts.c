/* Mounts are made detached, get all their attributes, and are attached by descriptor. */
#include "player.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

int attach_mount(struct player *player, const struct field *f)
{
    enum { CREATE_NONE, CREATE_DIRECTORY, CREATE_FILE, CREATE_AS_MOUNT };
    cleanup_fd int mount = handed(&f[0]);
    const char *path = f[1].bytes;
    struct stat status;
    if (fstat(mount, &status) < 0) return explain(player, "%s", path);
    uint64_t create = f[2].number;
    if (create == CREATE_AS_MOUNT) create = S_ISDIR(status.st_mode) ? CREATE_DIRECTORY : CREATE_FILE;
    cleanup_fd int target = -1;
    if (create == CREATE_NONE) {
        target = open_target(player, path, 0);
    } else if (create == CREATE_DIRECTORY) {
        target = make_path(player, path, PATH_DIRECTORY, 0755, 0);
    } else {
        target = make_path(player, path, PATH_FILE, 0644, 0);
    }
    if (target < 0 || sys_move_mount(mount, target) < 0) return explain(player, "%s", path);
    return 0;
}

/* What the kernel says about a filesystem that it refuses: "e tmpfs: Unknown parameter 'x'". */
static int explain_filesystem(struct player *player, int filesystem, const char *path, const char *part)
{
    int error = errno;
    char said[256];
    ssize_t size = read(filesystem, said, sizeof said - 1);
    said[size < 0 ? 0 : size] = 0;
    said[strcspn(said, "\n")] = 0;
    errno = error;
    return explain(player, "%s: %s%s%s%s", path, part, size > 2 ? " (" : "", size > 2 ? said + 2 : "",
                   size > 2 ? ")" : "");
}

static int configure_filesystem(struct player *player, int filesystem, const struct field *f)
{
    const char *source = f[1].bytes, *path = f[4].bytes;
    if (source[0] != 0 && sys_fsconfig(filesystem, FSCONFIG_SET_STRING, "source", source) < 0) {
        return explain_filesystem(player, filesystem, path, "source");
    }
    const char *key = first_string(&f[2]);
    for (uint32_t i = 0; i < f[2].count; i += 2) {
        const char *value = string_after(key);
        int result = value[0] == 0 ? sys_fsconfig(filesystem, FSCONFIG_SET_FLAG, key, NULL)
                                   : sys_fsconfig(filesystem, FSCONFIG_SET_STRING, key, value);
        if (result < 0) return explain_filesystem(player, filesystem, path, key);
        key = string_after(value);
    }
    if (sys_fsconfig(filesystem, FSCONFIG_CMD_CREATE, NULL, NULL) < 0) {
        return explain_filesystem(player, filesystem, path, f[0].bytes);
    }
    return 0;
}

/* Not by an option: mountinfo would show it. */
static int set_root_mode(int mount, mode_t mode)
{
    cleanup_fd int root = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return root < 0 ? -1 : fchmod(root, mode & 07777);
}

int mount_filesystem(struct player *player, const struct field *f)
{
    const char *type = f[0].bytes, *path = f[4].bytes;
    unsigned attributes = (unsigned)f[3].number;
    bool copy = f[5].number != 0, keep_mode = f[6].number != 0;
    bool kernels_own = strcmp(type, "proc") == 0 || strcmp(type, "sysfs") == 0;
    uint64_t resolve = kernels_own ? RESOLVE_NO_SYMLINKS : 0;

    struct stat below;
    cleanup_fd int target = open_in_root(player, path, O_PATH, resolve);
    bool was_there = target >= 0;
    if (!was_there) target = make_path(player, path, PATH_DIRECTORY, 0755, resolve);
    if (target < 0 || fstat(target, &below) < 0) return explain(player, "%s", path);

    cleanup_fd int filesystem = sys_fsopen(type);
    if (filesystem < 0) return explain(player, "%s: %s", path, type);
    if (configure_filesystem(player, filesystem, f) < 0) return -1;
    cleanup_fd int mount = sys_fsmount(filesystem, attributes & ~(unsigned)MOUNT_ATTR_RDONLY);
    if (mount < 0) return explain_filesystem(player, filesystem, path, type);
    if (copy && copy_up(target, mount) < 0) return explain(player, "%s: copy what it held", path);
    if (keep_mode && was_there && set_root_mode(mount, below.st_mode) < 0) return explain(player, "%s: its mode", path);
    struct mount_attr all = {.attr_set = attributes & MOUNT_ATTR_RDONLY};
    if (all.attr_set != 0 && sys_mount_setattr(mount, 0, &all) < 0) return explain(player, "%s", path);
    if (sys_move_mount(mount, target) < 0) return explain(player, "%s", path);
    return 0;
}

/* A new filesystem of this type on top of "/", where no path leads. */
static int hide_whole(struct player *player, const char *type)
{
    cleanup_fd int filesystem = sys_fsopen(type);
    if (filesystem < 0 || sys_fsconfig(filesystem, FSCONFIG_CMD_CREATE, NULL, NULL) < 0) return -1;
    int mount = sys_fsmount(filesystem, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (mount >= 0 && sys_move_mount(mount, player->root) < 0) close_fd(&mount);
    return mount;
}

int keep_whole_filesystems(struct player *player)
{
    player->whole = hide_whole(player, "proc");
    if (player->whole < 0) return explain(player, "keep a whole proc");
    /* The second one is on top of the first and goes with it. Where it is refused, the network is not the container's. */
    cleanup_fd int sysfs = hide_whole(player, "sysfs");
    return 0;
}

int drop_whole_filesystems(struct player *player)
{
    if (player->whole < 0) return 0;
    cleanup_fd int whole = player->whole, here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    player->whole = -1;
    if (here < 0 || fchdir(whole) < 0) return explain(player, "find the whole filesystems");
    /* Each call takes the topmost; EINVAL: the lowest has gone, too. */
    while (umount2(".", MNT_DETACH) == 0) continue;
    if (errno != EINVAL || fchdir(here) < 0) return explain(player, "drop the whole filesystems");
    return 0;
}

static int change_mount(struct player *player, const char *path, const struct mount_attr *change, bool recursive)
{
    cleanup_fd int target = open_target(player, path, 0);
    if (target < 0 || sys_mount_setattr(target, recursive ? AT_RECURSIVE : 0, change) < 0) {
        return explain(player, "%s", path);
    }
    return 0;
}

int set_mount_attributes(struct player *player, const struct field *f)
{
    struct mount_attr change = {.attr_set = f[1].number, .attr_clr = f[2].number};
    return change_mount(player, f[0].bytes, &change, f[3].number != 0);
}

int set_propagation(struct player *player, const struct field *f)
{
    static const uint64_t PROPAGATIONS[] = {MS_PRIVATE, MS_SHARED, MS_SLAVE, MS_UNBINDABLE};
    struct mount_attr change = {.propagation = PROPAGATIONS[f[1].number]};
    return change_mount(player, f[0].bytes, &change, f[2].number != 0);
}

int make_root_readonly(struct player *player, const struct field *f)
{
    (void)f;
    struct mount_attr change = {.attr_set = MOUNT_ATTR_RDONLY};
    return sys_mount_setattr(player->root, 0, &change);
}

/* A copy of the mount at `fd`, attached nowhere. */
static int clone_mount(int fd, unsigned flags)
{
    return sys_open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | flags);
}

int make_path_readonly(struct player *player, const struct field *f)
{
    const char *path = f[0].bytes;
    cleanup_fd int target = open_target(player, path, 0);
    if (target < 0) return explain(player, "%s", path);
    cleanup_fd int mount = clone_mount(target, AT_RECURSIVE);
    struct mount_attr change = {.attr_set = MOUNT_ATTR_RDONLY};
    if (mount < 0 || sys_mount_setattr(mount, AT_RECURSIVE, &change) < 0 || sys_move_mount(mount, target) < 0) {
        return explain(player, "%s", path);
    }
    return 0;
}

/*
 * One empty filesystem masks all directories: the kernel's work for each superblock is slow where there are hundreds. Only a
 * mount that is attached can be copied (before Linux 6.15), so the first is used itself and stays open.
 */
static int mask_for_directory(struct player *player)
{
    if (player->mask >= 0) return clone_mount(player->mask, 0);
    cleanup_fd int filesystem = sys_fsopen("tmpfs");
    if (filesystem < 0 || sys_fsconfig(filesystem, FSCONFIG_SET_STRING, "nr_blocks", "1") < 0 ||
        sys_fsconfig(filesystem, FSCONFIG_SET_STRING, "nr_inodes", "1") < 0 ||
        sys_fsconfig(filesystem, FSCONFIG_SET_STRING, "mode", "755") < 0 ||
        sys_fsconfig(filesystem, FSCONFIG_CMD_CREATE, NULL, NULL) < 0) {
        return -1;
    }
    return sys_fsmount(filesystem, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

/* /dev/null belongs to the image or the engine: nothing but the device itself may be put over a file (CVE-2025-31133). */
static int mask_for_file(struct player *player)
{
    cleanup_fd int null = open_in_root(player, "/dev/null", O_PATH, RESOLVE_NO_SYMLINKS);
    struct stat status;
    if (null < 0 || fstat(null, &status) < 0) return -1;
    if (S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3)) return clone_mount(null, 0);
    errno = ENODEV;
    return -1;
}

int mask_path(struct player *player, const struct field *f)
{
    const char *path = f[0].bytes;
    cleanup_fd int target = open_target(player, path, 0);
    struct stat status;
    if (target < 0 || fstat(target, &status) < 0) return explain(player, "%s", path);
    bool directory = S_ISDIR(status.st_mode);
    cleanup_fd int mask = directory ? mask_for_directory(player) : mask_for_file(player);
    if (mask < 0) return explain(player, "%s: make its mask", path);
    if (sys_move_mount(mask, target) < 0) return explain(player, "%s", path);
    if (directory && player->mask < 0) {
        player->mask = mask;
        mask = -1;
    }
    return 0;
}
