/* What the operations share. Each returns 0, or -1 with errno; `explain` adds what it was about. */
#ifndef PLAYER_H
#define PLAYER_H

#include "program.h"
#include "syscalls.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Numbers at which the player is handed its descriptors: docs/formats/launch-program.md. */
enum { PROGRAM_FD = 3, SELF_FD = 4, CONTROL_FD = 5, START_FD = 6, FIRST_DESCRIPTOR = 7 };

enum { EXIT_FAILED = 1, EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

enum { MAX_PACKET = 1024 };

struct player {
    struct program program;
    /* Index of the operation that is played. */
    uint32_t operation;
    /* "/" of the container, O_PATH. */
    int root;
    /* Where reports go: the control socket, then the start connection; -1 if nobody listens. */
    int channel;
    /* The end of the other side of the channel is the end of the player. */
    bool guarded;
    /* A procfs that is attached nowhere, and the mount that masks directories; -1 until they are needed. */
    int proc;
    int mask;
    /* In a user namespace: a proc, and a sysfs on top of it, that the kernel wants to see before it allows others. */
    int whole;
    /* A filter of the container's is loaded: from now on any system call may be refused. */
    bool filtered;
    /* The operation's own path does not exist. */
    bool absent;
    int exit_code;
    char text[512];
};

/* Scope cleanup. Keeps errno. */
#define cleanup_fd __attribute__((cleanup(close_fd)))
#define cleanup_free __attribute__((cleanup(free_memory)))
void close_fd(int *fd);
void free_memory(void *pointer);

/* Says what the failed operation was about; errno stays. Always -1. */
int explain(struct player *player, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The number of a descriptor that was handed over. */
static inline int handed(const struct field *field)
{
    return FIRST_DESCRIPTOR + (int)field->number;
}

/* A list of strings as execve wants it, to be freed; the strings stay in the program. NULL: no memory. */
char **string_array(const struct field *list);

/* Sends a packet, with a descriptor unless it is -1. */
int send_packet(int channel, const void *packet, size_t size, int descriptor);

/* execute.c: the process that is executed inherits nothing but stdio. */
int close_at_execute(void);

/* mounts.c */
int keep_whole_filesystems(struct player *player);
int drop_whole_filesystems(struct player *player);

/* paths.c */
enum path_type { PATH_DIRECTORY, PATH_FILE };
int open_in_root(const struct player *player, const char *path, uint64_t flags, uint64_t resolve);
int open_target(struct player *player, const char *path, uint64_t resolve);
int make_path(const struct player *player, const char *path, enum path_type type, mode_t mode, uint64_t resolve);
int write_proc(struct player *player, const char *name, const char *value);
int copy_up(int from, int to);

/*
 * identity.c: does what `look` does with the effective user, group, groups and capabilities of `f` (those four fields), then is
 * itself again. Only effective ids change: nobody who could not before can signal or trace the player meanwhile.
 */
int look_as_user(struct player *player, const struct field *f, int (*look)(struct player *player, void *about), void *about);

/* One function for each operation. */
int make_directory(struct player *player, const struct field *f);
int attach_mount(struct player *player, const struct field *f);
int mount_filesystem(struct player *player, const struct field *f);
int set_mount_attributes(struct player *player, const struct field *f);
int set_propagation(struct player *player, const struct field *f);
int make_node(struct player *player, const struct field *f);
int make_symlink(struct player *player, const struct field *f);
int mask_path(struct player *player, const struct field *f);
int make_path_readonly(struct player *player, const struct field *f);
int write_sysctl(struct player *player, const struct field *f);
int set_hostname(struct player *player, const struct field *f);
int set_domainname(struct player *player, const struct field *f);
int open_console(struct player *player, const struct field *f);
int make_root_readonly(struct player *player, const struct field *f);
int set_oom_score(struct player *player, const struct field *f);
int set_session_keyring(struct player *player, const struct field *f);
int await_start(struct player *player, const struct field *f);
int run_hook(struct player *player, const struct field *f);
int set_rlimit(struct player *player, const struct field *f);
int set_umask(struct player *player, const struct field *f);
int set_personality(struct player *player, const struct field *f);
int set_groups(struct player *player, const struct field *f);
int set_identity(struct player *player, const struct field *f);
int change_directory(struct player *player, const struct field *f);
int set_no_new_privileges(struct player *player, const struct field *f);
int load_seccomp(struct player *player, const struct field *f);
int set_exec_label(struct player *player, const struct field *f);
int execute(struct player *player, const struct field *f);
int await_launcher(struct player *player, const struct field *f);
int join_namespaces(struct player *player, const struct field *f);
int find_executable(struct player *player, const struct field *f);
int enter_namespace(struct player *player, const struct field *f);
int enter_runtime_tree(struct player *player, const struct field *f);
int leave_runtime_tree(struct player *player, const struct field *f);

#endif
