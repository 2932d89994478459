/*
 * A hook: the state on its stdin, the end of what it writes kept for the error. A startContainer hook runs with all that binds the
 * container's process, and so does what is called here: only old system calls, those that any filter has to allow for a shell.
 */
#include "player.h"

#include <ctype.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum { OUTPUT_SHOWN = 300, MAX_LAST_READS = 64 };

struct hook {
    pid_t pid;
    int pidfd;
    /* The player's ends of pipes: where the state goes, where its output comes from, where execve's errno comes from. */
    int input;
    int output;
    int failure;
    const char *state;
    uint32_t left;
    char shown[OUTPUT_SHOWN];
    size_t length;
};

static _Noreturn void become_hook(const char *path, char **args, char **env, const int stdio[2], int failed)
{
    if (dup2(stdio[0], 0) >= 0 && dup2(stdio[1], 1) >= 0 && dup2(stdio[1], 2) >= 0) execve(path, args, env);
    int error = errno;
    /* If this fails too, the exit code says enough. */
    if (write(failed, &error, sizeof error) < 0) _exit(EXIT_NOT_FOUND);
    _exit(EXIT_NOT_FOUND);
}

/* The player's end must not make it wait; the hook's own end is another open file. */
static int never_wait(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* fork(2) with a descriptor of the child. */
static pid_t fork_with_pidfd(int *pidfd)
{
    return (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, pidfd, 0, 0);
}

static int start_hook(struct hook *hook, const char *path, char **args, char **env)
{
    int input[2] = {-1, -1}, output[2] = {-1, -1}, failed[2] = {-1, -1};
    bool opened = pipe2(input, O_CLOEXEC) == 0 && pipe2(output, O_CLOEXEC) == 0 && pipe2(failed, O_CLOEXEC) == 0 &&
                  never_wait(input[1]) == 0 && never_wait(output[0]) == 0;
    hook->pid = opened ? fork_with_pidfd(&hook->pidfd) : -1;
    if (hook->pid == 0) become_hook(path, args, env, (int[]){input[0], output[1]}, failed[1]);
    close_fd(&input[0]);
    close_fd(&output[1]);
    close_fd(&failed[1]);
    hook->input = input[1];
    hook->output = output[0];
    hook->failure = failed[0];
    return hook->pid < 0 ? -1 : 0;
}

static void end_hook(struct hook *hook)
{
    close_fd(&hook->pidfd);
    close_fd(&hook->input);
    close_fd(&hook->output);
    close_fd(&hook->failure);
}

/* As much of the state as goes into the pipe. A hook need not read it. */
static void give_state(struct hook *hook)
{
    ssize_t given = write(hook->input, hook->state, hook->left);
    if (given < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (given > 0) {
        hook->state += given;
        hook->left -= (uint32_t)given;
    }
    if (given < 0 || hook->left == 0) close_fd(&hook->input);
}

/* What it wrote, of which the end is kept. False: there is no more now. */
static bool take_output(struct hook *hook)
{
    char text[4096];
    ssize_t got = read(hook->output, text, sizeof text);
    if (got < 0 && errno == EINTR) return true;
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) close_fd(&hook->output);
        return false;
    }
    size_t size = (size_t)got, most = sizeof hook->shown;
    size_t from_text = size < most ? size : most;
    size_t kept = hook->length + from_text > most ? most - from_text : hook->length;
    memmove(hook->shown, hook->shown + hook->length - kept, kept);
    memcpy(hook->shown + kept, text + size - from_text, from_text);
    hook->length = kept + from_text;
    return true;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * Until it has ended; what it started may go on and hold its output open. -1: it had to be killed. If even that is refused
 * (it has become another user), nobody waits: the player ends, and with it what is in its PID namespace.
 */
static int wait_for_hook(struct hook *hook, int timeout_ms, int *status)
{
    int64_t end = now_ms() + timeout_ms;
    bool in_time = true;
    for (;;) {
        int64_t left = timeout_ms == 0 ? -1 : end - now_ms();
        in_time = timeout_ms == 0 || left > 0;
        if (!in_time) break;
        struct pollfd polled[] = {
            {.fd = hook->pidfd, .events = POLLIN},
            {.fd = hook->input, .events = POLLOUT},
            {.fd = hook->output, .events = POLLIN},
        };
        if (poll(polled, 3, (int)left) < 0) {
            if (errno == EINTR) continue;
            /* Nobody would read: it must not wait for that. */
            close_fd(&hook->input);
            close_fd(&hook->output);
            break;
        }
        if (polled[1].revents != 0) give_state(hook);
        if (polled[2].revents != 0) take_output(hook);
        if (polled[0].revents != 0) break;
    }
    if (!in_time && kill(hook->pid, SIGKILL) < 0) return -1;
    while (waitpid(hook->pid, status, 0) < 0 && errno == EINTR) continue;
    return in_time ? 0 : -1;
}

/* ECANCELED: the text says it all. */
static int explain_status(struct player *player, const char *name, const char *path, int status, struct hook *hook)
{
    /* A writer that goes on without end is not waited for. */
    for (int reads = 0; reads < MAX_LAST_READS && hook->output >= 0 && take_output(hook);) reads++;
    size_t length = hook->length;
    while (length > 0 && hook->shown[length - 1] == '\n') length--;
    errno = ECANCELED;
    const char *how = WIFSIGNALED(status) ? "ended by signal" : "exit status";
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
    return explain(player, "error running %.60s: %.200s: %s %d%s%.*s", name, path, how, number,
                   length > 0 ? ", output: " : "", (int)length, hook->shown);
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
    __attribute__((cleanup(end_hook))) struct hook hook = {.pidfd = -1, .state = f[3].bytes, .left = f[3].size};
    if (start_hook(&hook, path, args, env) < 0) return explain_errno(player, name, path);
    struct sigaction before, ignored = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignored, &before);
    int status = 0, error;
    int ended = wait_for_hook(&hook, timeout > INT32_MAX ? INT32_MAX : (int)timeout, &status);
    sigaction(SIGPIPE, &before, NULL);
    if (ended < 0) return explain_timeout(player, name, path, timeout);
    if (read(hook.failure, &error, sizeof error) == sizeof error) {
        errno = error;
        return explain_errno(player, name, path);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
    return explain_status(player, name, path, status, &hook);
}
