/* Paths are resolved in the root where they are used, and what is missing is made component by component. */
#include "player.h"

#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

enum { MAX_LINKS = 40, MAX_RACES = 64 };

int open_in_root(const struct player *player, const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve,
    };
    int fd = -1;
    /* EAGAIN: something was renamed meanwhile and the kernel cannot tell whether ".." left the root. */
    for (int tries = 0; tries < MAX_RACES; tries++) {
        fd = sys_openat2(player->root, path, &how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
    }
    return fd;
}

int open_target(struct player *player, const char *path, uint64_t resolve)
{
    int fd = open_in_root(player, path, O_PATH, resolve);
    if (fd < 0) player->absent = errno == ENOENT || errno == ENOTDIR;
    return fd;
}

static int make_one(int parent, const char *name, enum path_type type, mode_t mode)
{
    mode_t mask = umask(0);
    int result;
    if (type == PATH_DIRECTORY) {
        result = mkdirat(parent, name, mode);
    } else {
        result = openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, mode);
        if (result >= 0) close(result);
    }
    umask(mask);
    return result < 0 ? -1 : 0;
}

/* Puts a dangling link's target in place of the link, which is path[start, end). */
static int follow_link(int parent, char *path, size_t start, size_t end)
{
    char name[PATH_MAX], target[PATH_MAX], joined[PATH_MAX];
    snprintf(name, sizeof name, "%.*s", (int)(end - start), path + start);
    ssize_t length = readlinkat(parent, name, target, sizeof target - 1);
    if (length < 0) return -1;
    target[length] = 0;
    int before = target[0] == '/' ? 0 : (int)start;
    int size = snprintf(joined, sizeof joined, "%.*s%s%s", before, path, target, path + end);
    if (size < 0 || (size_t)size >= sizeof joined) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(path, joined, (size_t)size + 1);
    return 0;
}

int make_path(const struct player *player, const char *wanted, enum path_type type, mode_t mode, uint64_t resolve)
{
    int found = open_in_root(player, wanted, O_PATH, resolve);
    if (found >= 0 || errno != ENOENT) return found;
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s", wanted) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    cleanup_fd int parent = open_in_root(player, "/", O_PATH | O_DIRECTORY, 0);
    int links = 0;
    for (size_t start = strspn(path, "/"); path[start] != 0;) {
        size_t end = start + strcspn(path + start, "/");
        bool last = path[end + strspn(path + end, "/")] == 0;
        char rest = path[end];
        path[end] = 0;
        int here = open_in_root(player, path, O_PATH, resolve);
        if (here < 0 && errno == ENOENT) {
            int made = make_one(parent, path + start, last ? type : PATH_DIRECTORY, last ? mode : 0755);
            path[end] = rest;
            if (made == 0) continue;
            if (errno != EEXIST) return -1;
            if (++links > MAX_LINKS) {
                errno = ELOOP;
                return -1;
            }
            /* EINVAL: it is no link, somebody else has just made it. */
            if (follow_link(parent, path, start, end) < 0 && errno != EINVAL) return -1;
            close_fd(&parent);
            parent = open_in_root(player, "/", O_PATH | O_DIRECTORY, 0);
            start = strspn(path, "/");
            continue;
        }
        path[end] = rest;
        if (here < 0 || last) return here;
        close_fd(&parent);
        parent = here;
        start = end + strspn(path + end, "/");
    }
    errno = ENOENT;
    return -1;
}

/* Opens the directory that is to hold `path`, made if it is absent, and gives the last name. */
static int open_parent(struct player *player, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    *name = slash == NULL ? path : slash + 1;
    if (slash == NULL || (*name)[0] == 0 || slash - path >= PATH_MAX) {
        errno = EINVAL;
        return explain(player, "%s", path);
    }
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%.*s/", (int)(slash - path), path);
    int fd = make_path(player, parent, PATH_DIRECTORY, 0755, RESOLVE_NO_SYMLINKS);
    return fd < 0 ? explain(player, "%s", path) : fd;
}

int make_directory(struct player *player, const struct field *f)
{
    const char *path = f[0].bytes;
    cleanup_fd int fd = make_path(player, path, PATH_DIRECTORY, (mode_t)f[1].number & 07777, 0);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0) return explain(player, "%s", path);
    if (S_ISDIR(status.st_mode)) return 0;
    errno = ENOTDIR;
    return explain(player, "%s", path);
}

int make_node(struct player *player, const struct field *f)
{
    static const mode_t TYPES[] = {S_IFCHR, S_IFBLK, S_IFIFO};
    const char *path = f[0].bytes, *name;
    mode_t type = TYPES[f[1].number], mode = type | ((mode_t)f[2].number & 07777);
    dev_t device = type == S_IFIFO ? 0 : makedev((unsigned)f[3].number, (unsigned)f[4].number);
    uid_t uid = (uid_t)f[5].number;
    gid_t gid = (gid_t)f[6].number;
    cleanup_fd int parent = open_parent(player, path, &name);
    if (parent < 0) return -1;
    mode_t mask = umask(0);
    int result = mknodat(parent, name, mode, device);
    umask(mask);
    struct stat status;
    if (result < 0 && errno != EEXIST) return explain(player, "%s", path);
    if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) < 0) return explain(player, "%s", path);
    if ((status.st_mode & S_IFMT) != type || status.st_rdev != device) {
        errno = EEXIST;
        return explain(player, "%s is something else", path);
    }
    bool owned = status.st_uid == uid && status.st_gid == gid;
    if (!owned && fchownat(parent, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0) return explain(player, "%s", path);
    return 0;
}

int make_symlink(struct player *player, const struct field *f)
{
    const char *path = f[0].bytes, *target = f[1].bytes, *name;
    cleanup_fd int parent = open_parent(player, path, &name);
    if (parent < 0) return -1;
    if (symlinkat(target, parent, name) == 0) return 0;
    int error = errno;
    char present[PATH_MAX];
    ssize_t length = error == EEXIST ? readlinkat(parent, name, present, sizeof present) : -1;
    if (length == (ssize_t)strlen(target) && memcmp(present, target, (size_t)length) == 0) return 0;
    errno = error;
    return explain(player, "%s", path);
}

int change_directory(struct player *player, const struct field *f)
{
    const char *path = f[0].bytes;
    cleanup_fd int fd =
        f[1].number != 0 ? make_path(player, path, PATH_DIRECTORY, 0755, 0) : open_target(player, path, 0);
    if (fd < 0 || fchdir(fd) < 0) return explain(player, "%s", path);
    /* The kernel's own word that this is below the root: else it says "(unreachable)" (CVE-2024-21626). */
    char now[PATH_MAX];
    if (syscall(SYS_getcwd, now, sizeof now) < 0) return explain(player, "%s", path);
    if (now[0] == '/') return 0;
    errno = EXDEV;
    return explain(player, "%s is outside of the root", path);
}

static int mount_private_proc(void)
{
    cleanup_fd int filesystem = sys_fsopen("proc");
    if (filesystem < 0 || sys_fsconfig(filesystem, FSCONFIG_CMD_CREATE, NULL, NULL) < 0) return -1;
    return sys_fsmount(filesystem, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

/* A user namespace may have no procfs of its own beside a masked one. Then the container's, if it is one. */
static int open_shown_proc(const struct player *player)
{
    int fd = open_in_root(player, "/proc", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
    struct statfs status;
    if (fd < 0 || (fstatfs(fd, &status) == 0 && status.f_type == PROC_SUPER_MAGIC)) return fd;
    close(fd);
    errno = EPERM;
    return -1;
}

int write_proc(struct player *player, const char *name, const char *value)
{
    if (player->proc < 0) player->proc = mount_private_proc();
    if (player->proc < 0 && errno == EPERM) player->proc = open_shown_proc(player);
    if (player->proc < 0) return explain(player, "%s: mount a procfs", name);
    /* No mount and no link on the way: nothing that somebody has put over a file of this procfs (CVE-2025-52881). */
    struct open_how how = {
        .flags = O_WRONLY | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
    };
    cleanup_fd int fd = sys_openat2(player->proc, name, &how);
    if (fd < 0) return explain(player, "%s", name);
    ssize_t written = write(fd, value, strlen(value));
    if (written == (ssize_t)strlen(value)) return 0;
    if (written >= 0) errno = EIO;
    return explain(player, "%s", name);
}

int write_sysctl(struct player *player, const struct field *f)
{
    char name[PATH_MAX];
    if (snprintf(name, sizeof name, "sys/%s", f[0].bytes) >= (int)sizeof name) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return write_proc(player, name, f[1].bytes);
}
