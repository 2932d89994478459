/* Copies a directory's content into an empty filesystem: type, mode, owner, times and data; hard links become copies. */
#include "player.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 100, CHUNK = 65536 };

static int copy_data(int from, int to)
{
    static char chunk[CHUNK];
    for (;;) {
        ssize_t size = read(from, chunk, sizeof chunk);
        if (size <= 0) return (int)size;
        for (ssize_t done = 0; done < size;) {
            ssize_t written = write(to, chunk + done, (size_t)(size - done));
            if (written < 0) return -1;
            done += written;
        }
    }
}

static int copy_attributes(int to, const struct stat *status)
{
    struct timespec times[] = {status->st_atim, status->st_mtim};
    /* The owner first: a change of owner takes set-user-id bits away. */
    if (fchown(to, status->st_uid, status->st_gid) < 0 || fchmod(to, status->st_mode & 07777) < 0) return -1;
    return futimens(to, times);
}

static int copy_file(int from, int to, const char *name)
{
    cleanup_fd int source = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat status;
    if (source < 0 || fstat(source, &status) < 0) return -1;
    if (!S_ISREG(status.st_mode)) {
        errno = EINVAL;
        return -1;
    }
    cleanup_fd int target = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (target < 0 || copy_data(source, target) < 0) return -1;
    return copy_attributes(target, &status);
}

static int copy_other(int from, int to, const char *name, const struct stat *status)
{
    if (S_ISLNK(status->st_mode)) {
        char target[PATH_MAX];
        ssize_t length = readlinkat(from, name, target, sizeof target - 1);
        if (length < 0) return -1;
        target[length] = 0;
        if (symlinkat(target, to, name) < 0) return -1;
    } else if (mknodat(to, name, status->st_mode, status->st_rdev) < 0) {
        return -1;
    }
    struct timespec times[] = {status->st_atim, status->st_mtim};
    if (fchownat(to, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW) < 0) return -1;
    return utimensat(to, name, times, AT_SYMLINK_NOFOLLOW);
}

static void close_directory(DIR **directory)
{
    int error = errno;
    if (*directory != NULL) closedir(*directory);
    errno = error;
}

static int copy_directory(int from, int to, int depth)
{
    if (depth > MAX_DEPTH) {
        errno = ELOOP;
        return -1;
    }
    int again = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (again < 0) return -1;
    __attribute__((cleanup(close_directory))) DIR *directory = fdopendir(again);
    if (directory == NULL) {
        close_fd(&again);
        return -1;
    }
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (entry == NULL) break;
        const char *name = entry->d_name;
        struct stat status;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
        if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) < 0) return -1;
        if (S_ISDIR(status.st_mode)) {
            if (mkdirat(to, name, 0700) < 0) return -1;
            cleanup_fd int source = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            cleanup_fd int target = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (source < 0 || target < 0 || copy_directory(source, target, depth + 1) < 0) return -1;
        } else if (S_ISREG(status.st_mode) ? copy_file(from, to, name) < 0
                                           : copy_other(from, to, name, &status) < 0) {
            return -1;
        }
    }
    struct stat status;
    if (errno != 0 || fstat(from, &status) < 0) return -1;
    /* The root of the filesystem has the mode and owner that its options say. */
    return depth == 0 ? 0 : copy_attributes(to, &status);
}

int copy_up(int from, int to)
{
    return copy_directory(from, to, 0);
}
