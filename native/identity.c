/* Who the process is and what it may do. */
#include "player.h"

#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>

int set_hostname(struct player *player, const struct field *f)
{
    (void)player;
    return sethostname(f[0].bytes, f[0].size);
}

int set_domainname(struct player *player, const struct field *f)
{
    (void)player;
    return setdomainname(f[0].bytes, f[0].size);
}

int set_oom_score(struct player *player, const struct field *f)
{
    char name[64], value[16];
    snprintf(name, sizeof name, "%d/oom_score_adj", getpid());
    snprintf(value, sizeof value, "%d", (int32_t)f[0].number);
    return write_proc(player, name, value);
}

int set_session_keyring(struct player *player, const struct field *f)
{
    /* The possessor may do all, the user view, read and search: what other runtimes set. */
    enum { PERMISSIONS = 0x3f0b0000 };
    long keyring = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, f[0].bytes);
    if (keyring < 0) {
        player->absent = errno == ENOSYS;
        return explain(player, "%s", f[0].bytes);
    }
    return f[1].number != 0 && syscall(SYS_keyctl, KEYCTL_SETPERM, keyring, PERMISSIONS) < 0 ? -1 : 0;
}

int set_rlimit(struct player *player, const struct field *f)
{
    struct rlimit limit = {.rlim_cur = f[1].number, .rlim_max = f[2].number};
    if (setrlimit((int)f[0].number, &limit) < 0) return explain(player, "%u", (unsigned)f[0].number);
    return 0;
}

int set_umask(struct player *player, const struct field *f)
{
    (void)player;
    umask((mode_t)f[0].number & 0777);
    return 0;
}

int set_personality(struct player *player, const struct field *f)
{
    (void)player;
    return personality((unsigned long)f[0].number) < 0 ? -1 : 0;
}

int set_groups(struct player *player, const struct field *f)
{
    (void)player;
    cleanup_free gid_t *groups = calloc((size_t)f[0].count + 1, sizeof *groups);
    if (groups == NULL) return -1;
    for (uint32_t i = 0; i < f[0].count; i++) groups[i] = list_number(&f[0], i);
    return setgroups(f[0].count, groups);
}

static bool has_capability(uint64_t set, unsigned capability)
{
    return (set >> capability & 1) != 0;
}

/* Only the first capabilities exist; the kernel answers EINVAL for the next. */
static int drop_bounding(uint64_t kept)
{
    for (unsigned capability = 0; capability < 64; capability++) {
        int present = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
        if (present < 0) return 0;
        if (present == 1 && !has_capability(kept, capability) && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) {
            return -1;
        }
    }
    return 0;
}

static int set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
        {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)},
    };
    return (int)syscall(SYS_capset, &header, data);
}

static int set_ambient(uint64_t wanted)
{
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) return -1;
    for (unsigned capability = 0; capability < 64; capability++) {
        if (!has_capability(wanted, capability)) continue;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0) return -1;
    }
    return 0;
}

/* Else a process of this user could not open /dev/stderr. What cannot have an owner stays as it is. */
static int give_stdio(uid_t uid)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        struct stat status;
        if (fstat(fd, &status) < 0) return -1;
        bool null = S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
        if (status.st_uid == uid || null || fchown(fd, uid, (gid_t)-1) == 0) continue;
        if (errno != EPERM && errno != EINVAL && errno != EROFS) return -1;
    }
    return 0;
}

int set_identity(struct player *player, const struct field *f)
{
    uid_t uid = (uid_t)f[0].number;
    gid_t gid = (gid_t)f[1].number;
    bool with_capabilities = f[2].number != 0;
    const struct field *bounding = &f[3], *effective = &f[4], *permitted = &f[5], *inheritable = &f[6], *ambient = &f[7];
    if (give_stdio(uid) < 0) return explain(player, "give stdio to user %u", uid);
    if (with_capabilities && drop_bounding(bounding->number) < 0) return explain(player, "drop the bounding set");
    if (with_capabilities && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return explain(player, "keep capabilities");
    if (setresgid(gid, gid, gid) < 0) return explain(player, "group %u", gid);
    if (setresuid(uid, uid, uid) < 0) return explain(player, "user %u", uid);
    /* The kernel sets it anew, to fs.suid_dumpable: processes of this user, hooks are such, could trace the player if that is 1. */
    prctl(PR_SET_DUMPABLE, 0);
    if (!with_capabilities) return 0;
    if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0) return explain(player, "stop keeping capabilities");
    if (set_capabilities(effective->number, permitted->number, inheritable->number) < 0) {
        return explain(player, "capabilities");
    }
    if (set_ambient(ambient->number) < 0) return explain(player, "ambient capabilities");
    return 0;
}

static int effective_user(uid_t uid, gid_t gid, const gid_t *groups, size_t count)
{
    /* Giving up a group takes the user that has the capability, so the way back begins with the user. */
    if (uid == 0 && setresuid((uid_t)-1, 0, (uid_t)-1) < 0) return -1;
    if (setgroups(count, groups) < 0 || setresgid((gid_t)-1, gid, (gid_t)-1) < 0) return -1;
    return setresuid((uid_t)-1, uid, (uid_t)-1);
}

int look_as_user(struct player *player, const struct field *f, int (*look)(struct player *player, void *about), void *about)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct own[2], seeming[2];
    int own_count = getgroups(0, NULL);
    uint32_t count = f[3].count;
    if (own_count < 0 || syscall(SYS_capget, &header, own) < 0) return -1;
    cleanup_free gid_t *own_groups = calloc((size_t)own_count + 1, sizeof *own_groups);
    cleanup_free gid_t *groups = calloc((size_t)count + 1, sizeof *groups);
    if (own_groups == NULL || groups == NULL || getgroups(own_count, own_groups) != own_count) return -1;
    for (uint32_t i = 0; i < count; i++) groups[i] = list_number(&f[3], i);

    if (effective_user((uid_t)f[0].number, (gid_t)f[1].number, groups, count) < 0) return explain(player, "its user");
    memcpy(seeming, own, sizeof own);
    seeming[0].effective = own[0].permitted & (uint32_t)f[2].number;
    seeming[1].effective = own[1].permitted & (uint32_t)(f[2].number >> 32);
    if (syscall(SYS_capset, &header, seeming) < 0) return explain(player, "its capabilities");
    int result = look(player, about);
    int error = errno;
    if (syscall(SYS_capset, &header, own) < 0 || effective_user(0, 0, own_groups, (size_t)own_count) < 0 ||
        syscall(SYS_capset, &header, own) < 0) {
        player->exit_code = EXIT_FAILED;
        return explain(player, "be root again");
    }
    errno = error;
    return result;
}

int set_no_new_privileges(struct player *player, const struct field *f)
{
    (void)player;
    (void)f;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int load_seccomp(struct player *player, const struct field *f)
{
    enum { SECCOMP_LISTENER = 6 };
    size_t count = f[0].count / sizeof(struct sock_filter);
    if (f[0].count % sizeof(struct sock_filter) != 0 || count == 0 || count > BPF_MAXINSNS) {
        errno = EINVAL;
        return explain(player, "a filter of %u bytes", f[0].count);
    }
    if (close_at_execute() < 0) return explain(player, "close_range");
    /* The kernel copies it; that it is not aligned does not matter. */
    struct sock_fprog filter = {(unsigned short)count, (struct sock_filter *)(void *)f[0].bytes};
    unsigned flags = (unsigned)f[1].number;
    int result = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
    if (result < 0) return -1;
    player->filtered = true;
    if ((flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) == 0) return 0;
    cleanup_fd int listener = result;
    return send_packet(player->channel, &(uint32_t){SECCOMP_LISTENER}, 4, listener);
}

/* The kernel takes a label only from the process itself, so the number in the path must be its own. */
int set_exec_label(struct player *player, const struct field *f)
{
    enum { APPARMOR };
    const char *label = f[1].bytes;
    char name[64], value[PATH_MAX];
    bool apparmor = f[0].number == APPARMOR;
    int size = snprintf(value, sizeof value, "%s%s", apparmor ? "exec " : "", label);
    if (size < 0 || (size_t)size >= sizeof value) {
        errno = ENAMETOOLONG;
        return -1;
    }
    snprintf(name, sizeof name, "%d/attr/%s", getpid(), apparmor ? "apparmor/exec" : "exec");
    if (write_proc(player, name, value) == 0) return 0;
    /* For a profile or context that is not loaded the kernel says ENOENT or EINVAL: the file is always there. */
    return explain(player, "%s to %s", name, label);
}
