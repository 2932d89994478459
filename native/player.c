/*
 * Plays a launch program inside a container's namespaces, as its init or as a process that joins it, and becomes the
 * container's process. It decides nothing: docs/formats/launch-program.md says what it is given, does and reports.
 */
#include "player.h"
#include "control.h"

#include <ctype.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>

typedef int operation_function(struct player *player, const struct field *fields);

static operation_function *const FUNCTIONS[OPERATION_CODES] = {
    [MAKE_DIRECTORY] = make_directory,
    [ATTACH_MOUNT] = attach_mount,
    [MOUNT_FILESYSTEM] = mount_filesystem,
    [SET_MOUNT_ATTRIBUTES] = set_mount_attributes,
    [SET_PROPAGATION] = set_propagation,
    [MAKE_NODE] = make_node,
    [MAKE_SYMLINK] = make_symlink,
    [MASK_PATH] = mask_path,
    [MAKE_PATH_READONLY] = make_path_readonly,
    [WRITE_SYSCTL] = write_sysctl,
    [SET_HOSTNAME] = set_hostname,
    [SET_DOMAINNAME] = set_domainname,
    [OPEN_CONSOLE] = open_console,
    [MAKE_ROOT_READONLY] = make_root_readonly,
    [SET_OOM_SCORE] = set_oom_score,
    [SET_SESSION_KEYRING] = set_session_keyring,
    [AWAIT_START] = await_start,
    [RUN_HOOK] = run_hook,
    [SET_RLIMIT] = set_rlimit,
    [SET_UMASK] = set_umask,
    [SET_PERSONALITY] = set_personality,
    [SET_GROUPS] = set_groups,
    [SET_IDENTITY] = set_identity,
    [CHANGE_DIRECTORY] = change_directory,
    [SET_NO_NEW_PRIVILEGES] = set_no_new_privileges,
    [LOAD_SECCOMP] = load_seccomp,
    [SET_EXEC_LABEL] = set_exec_label,
    [EXECUTE] = execute,
    [AWAIT_LAUNCHER] = await_launcher,
    [JOIN_NAMESPACES] = join_namespaces,
    [FIND_EXECUTABLE] = find_executable,
    [ENTER_NAMESPACE] = enter_namespace,
    [ENTER_RUNTIME_TREE] = enter_runtime_tree,
    [LEAVE_RUNTIME_TREE] = leave_runtime_tree,
};

void close_fd(int *fd)
{
    int error = errno;
    if (*fd >= 0) close(*fd);
    *fd = -1;
    errno = error;
}

void free_memory(void *pointer)
{
    int error = errno;
    free(*(void **)pointer);
    errno = error;
}

int explain(struct player *player, const char *format, ...)
{
    int error = errno;
    va_list values;
    va_start(values, format);
    vsnprintf(player->text, sizeof player->text, format, values);
    va_end(values);
    errno = error;
    return -1;
}

char **string_array(const struct field *list)
{
    char **array = calloc((size_t)list->count + 1, sizeof *array);
    if (array == NULL) return NULL;
    const char *string = first_string(list);
    for (uint32_t i = 0; i < list->count; i++, string = string_after(string)) array[i] = (char *)string;
    return array;
}

/* As PID 1 of its namespace a process is shielded from a signal's default action, but not from a handler. */
static void end_by_signal(int signal)
{
    raise(signal);
    _exit(128 + signal);
}

static void let_signals_end(void)
{
    static const int HARMLESS[] = {SIGKILL, SIGSTOP, SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGTSTP, SIGTTIN,
                                   SIGTTOU, SIGSEGV, SIGBUS,  SIGILL,  SIGFPE};
    for (int signal = 1; signal <= SIGRTMAX; signal++) {
        struct sigaction action = {.sa_handler = end_by_signal, .sa_flags = SA_NODEFER | SA_RESETHAND};
        for (size_t i = 0; i < sizeof HARMLESS / sizeof *HARMLESS; i++) {
            if (signal == HARMLESS[i]) action = (struct sigaction){.sa_handler = SIG_DFL};
        }
        sigaction(signal, &action, NULL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool is_sealed(int fd)
{
    int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & all) == all;
}

/* The mapping stays: fields point into it. */
static int load_program(struct player *player)
{
    errno = EPERM;
    if (!is_sealed(PROGRAM_FD)) return explain(player, "the program is not sealed");
    if (!is_sealed(SELF_FD)) return explain(player, "the player is not sealed");
    struct stat status;
    if (fstat(PROGRAM_FD, &status) < 0) return explain(player, "read the program");
    errno = EBADMSG;
    if (status.st_size <= 0 || status.st_size > MAX_PROGRAM_SIZE) return explain(player, "the program's size is wrong");
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, PROGRAM_FD, 0);
    if (bytes == MAP_FAILED) return explain(player, "read the program");
    errno = EBADMSG;
    if (!program_open(&player->program, bytes, (size_t)status.st_size)) {
        return explain(player, "the program breaks its format");
    }
    return 0;
}

/* Nothing is open but what the program needs, and no process that is executed gets more of it than stdio. */
static int tidy_descriptors(struct player *player)
{
    close(PROGRAM_FD);
    close(SELF_FD);
    unsigned end = FIRST_DESCRIPTOR + player->program.descriptors;
    if (sys_close_range(end, 0) < 0 || sys_close_range(PROGRAM_FD, CLOSE_RANGE_CLOEXEC) < 0) {
        return explain(player, "close_range");
    }
    for (unsigned fd = 0; fd < end; fd++) {
        bool handed_over = fd <= STDERR_FILENO || fd >= FIRST_DESCRIPTOR;
        if (handed_over && fcntl((int)fd, F_GETFD) < 0) return explain(player, "descriptor %u is missing", fd);
    }
    player->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return player->root < 0 ? explain(player, "open the root") : 0;
}

/* "make-node /dev/null: permission denied", and only its own text of what names its reason itself, as `execute` does. */
static void describe(struct player *player, enum operation_code code, int error, char *text, size_t size)
{
    if (player->exit_code != EXIT_FAILED || error == ECANCELED) {
        snprintf(text, size, "%s", player->text);
        return;
    }
    const char *reason = strerror(error);
    const char *name = code == OPERATION_CODES ? "launch program" : operation_name(code);
    snprintf(text, size, "%s%s%s: %c%s", name, player->text[0] == 0 ? "" : " ", player->text, tolower(reason[0]),
             reason + 1);
}

static void settle(struct player *player, enum operation_code code, enum error_policy policy)
{
    int error = errno;
    if (policy == ON_ERROR_IGNORE_ABSENT && player->absent) return;
    char text[MAX_PACKET];
    describe(player, code, error, text, sizeof text);
    if (policy != ON_ERROR_WARN) report_failure(player, error, text);
    report_warning(player, error, text);
    player->exit_code = EXIT_FAILED;
}

/* liblxc writes its complaints to stderr: what it had as stdio is not the container's, that is handed over elsewhere. */
static void take_stdio(const char *first)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (dup2(atoi(first) + fd, fd) < 0) _exit(EXIT_FAILED);
    }
}

/* Only there so that liblxc could execute a descriptor, and make its links in no image's /dev. */
static int drop_liblxc_mounts(struct player *player, bool in_user_namespace)
{
    if (in_user_namespace && keep_whole_filesystems(player) < 0) return -1;
    umount2("/proc", MNT_DETACH);
    umount2("/dev", MNT_DETACH);
    if (in_user_namespace) umount2("/sys", MNT_DETACH);
    return 0;
}

int main(int argc, char **argv)
{
    prctl(PR_SET_DUMPABLE, 0);
    let_signals_end();
    bool under_liblxc = argc >= 2, in_user_namespace = argc == 3;
    if (under_liblxc) take_stdio(argv[1]);
    umask(022);
    static struct player player = {
        .operation = UINT32_MAX,
        .root = -1,
        .channel = CONTROL_FD,
        .guarded = true,
        .proc = -1,
        .mask = -1,
        .whole = -1,
        .exit_code = EXIT_FAILED,
    };
    if (load_program(&player) < 0 || tidy_descriptors(&player) < 0 ||
        (under_liblxc && drop_liblxc_mounts(&player, in_user_namespace) < 0)) {
        settle(&player, OPERATION_CODES, ON_ERROR_FAIL);
    }
    struct operation operation;
    while (program_next(&player.program, &operation)) {
        player.operation++;
        player.absent = false;
        player.text[0] = 0;
        end_without_launcher(&player);
        if (FUNCTIONS[operation.code](&player, operation.fields) < 0) {
            settle(&player, operation.code, operation.policy);
        }
    }
    errno = ENOEXEC;
    explain(&player, "the program does not end in execute");
    settle(&player, OPERATION_CODES, ON_ERROR_FAIL);
}
