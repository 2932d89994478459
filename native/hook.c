/* A hook: the state on its stdin, what it writes kept for the error. */
#include "player.h"

#include <ctype.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { OUTPUT_SHOWN = 300 };

static int memory_file(const char *bytes, uint32_t size)
{
    cleanup_fd int fd = memfd_create("hook", MFD_CLOEXEC);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) < 0) return -1;
    int result = fd;
    fd = -1;
    return result;
}

static _Noreturn void become_hook(const char *path, char **args, char **env, const int stdio[2], int failed)
{
    if (dup2(stdio[0], 0) >= 0 && dup2(stdio[1], 1) >= 0 && dup2(stdio[1], 2) >= 0) execve(path, args, env);
    int error = errno;
    /* If this fails too, the exit code says enough. */
    if (write(failed, &error, sizeof error) < 0) _exit(EXIT_NOT_FOUND);
    _exit(EXIT_NOT_FOUND);
}

/* Waits for its end. -1: it had to be killed. */
static int wait_for_hook(pid_t child, int timeout_ms, int *status)
{
    cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    int result = pidfd < 0 ? 1 : poll(&ended, 1, timeout_ms);
    if (result == 0) kill(child, SIGKILL);
    while (waitpid(child, status, 0) < 0 && errno == EINTR) continue;
    return result == 0 ? -1 : 0;
}

/* ECANCELED: the text says it all. */
static int explain_status(struct player *player, const char *name, const char *path, int status, int output)
{
    char text[OUTPUT_SHOWN];
    off_t size = lseek(output, 0, SEEK_END);
    off_t start = size > (off_t)sizeof text - 1 ? size - ((off_t)sizeof text - 1) : 0;
    ssize_t length = pread(output, text, sizeof text - 1, start);
    while (length > 0 && text[length - 1] == '\n') length--;
    text[length < 0 ? 0 : length] = 0;
    errno = ECANCELED;
    const char *how = WIFSIGNALED(status) ? "ended by signal" : "exit status";
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
    return explain(player, "error running %.60s: %.200s: %s %d%s%s", name, path, how, number,
                   length > 0 ? ", output: " : "", text);
}

static int explain_timeout(struct player *player, const char *name, const char *path, uint32_t timeout)
{
    errno = ECANCELED;
    return explain(player, "error running %.60s: %.200s: hook ran past specified timeout of %u.%us", name, path,
                   timeout / 1000, timeout % 1000 / 100);
}

static int explain_errno(struct player *player, const char *name, const char *path)
{
    const char *reason = strerror(errno);
    errno = ECANCELED;
    return explain(player, "error running %.60s: %.200s: %c%s", name, path, tolower(reason[0]), reason + 1);
}

int run_hook(struct player *player, const struct field *f)
{
    const char *path = f[0].bytes, *name = f[5].bytes;
    cleanup_free char **args = string_array(&f[1]);
    cleanup_free char **env = string_array(&f[2]);
    uint32_t timeout = (uint32_t)f[4].number;
    if (args == NULL || env == NULL) return -1;
    cleanup_fd int input = memory_file(f[3].bytes, f[3].size);
    cleanup_fd int output = memory_file("", 0);
    int failed[2];
    if (input < 0 || output < 0 || pipe2(failed, O_CLOEXEC) < 0) return explain_errno(player, name, path);
    pid_t child = fork();
    if (child == 0) become_hook(path, args, env, (int[]){input, output}, failed[1]);
    close_fd(&failed[1]);
    cleanup_fd int failure = failed[0];
    if (child < 0) return explain_errno(player, name, path);

    int status = 0, error;
    int limit = timeout == 0 ? -1 : timeout > INT32_MAX ? INT32_MAX : (int)timeout;
    if (wait_for_hook(child, limit, &status) < 0) return explain_timeout(player, name, path, timeout);
    if (read(failure, &error, sizeof error) == sizeof error) {
        errno = error;
        return explain_errno(player, name, path);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
    return explain_status(player, name, path, status, output);
}
