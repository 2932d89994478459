/* System calls by number: the C library's own names for some of them clash with the kernel's headers. */
#ifndef SYSCALLS_H
#define SYSCALLS_H

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int sys_openat2(int directory, const char *path, const struct open_how *how)
{
    return (int)syscall(SYS_openat2, directory, path, how, sizeof *how);
}

static inline int sys_open_tree(int directory, const char *path, unsigned flags)
{
    return (int)syscall(SYS_open_tree, directory, path, flags);
}

static inline int sys_move_mount(int from, int to)
{
    return (int)syscall(SYS_move_mount, from, "", to, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static inline int sys_fsopen(const char *type)
{
    return (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
}

static inline int sys_fsconfig(int filesystem, unsigned command, const char *key, const char *value)
{
    return (int)syscall(SYS_fsconfig, filesystem, command, key, value, 0);
}

static inline int sys_fsmount(int filesystem, unsigned attributes)
{
    return (int)syscall(SYS_fsmount, filesystem, FSMOUNT_CLOEXEC, attributes);
}

static inline int sys_mount_setattr(int mount, unsigned flags, const struct mount_attr *attributes)
{
    return (int)syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH | flags, attributes, sizeof *attributes);
}

static inline int sys_close_range(unsigned first, unsigned flags)
{
    return (int)syscall(SYS_close_range, first, ~0U, flags);
}

#endif
