/* The last operation: the player becomes the container's process. */
#include "player.h"

#include <ctype.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int close_at_execute(void)
{
    return sys_close_range(STDERR_FILENO + 1, CLOSE_RANGE_CLOEXEC);
}

/* The engines know these texts from other runtimes: "exec: "x": permission denied". */
static int refuse(struct player *player, const char *name, int error, const char *reason)
{
    player->exit_code = error == ENOENT || error == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
    errno = error;
    return explain(player, "exec: \"%.300s\": %c%s", name, tolower(reason[0]), reason + 1);
}

/* The next place where PATH has a name without "/". Relative directories do not count: nobody should meet a file of the cwd. */
static bool next_in_path(const char **list, const char *name, char path[PATH_MAX])
{
    while (**list != 0) {
        const char *directory = *list;
        size_t length = strcspn(directory, ":");
        *list += length + (directory[length] == ':');
        int size = snprintf(path, PATH_MAX, "%.*s/%s", (int)length, directory, name);
        if (directory[0] == '/' && size > 0 && size < PATH_MAX) return true;
    }
    return false;
}

static bool is_executable_file(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

/* The texts are those of other runtimes: engines know them. */
static int look_for(struct player *player, const char *name, const char *list)
{
    char path[PATH_MAX];
    struct stat status;
    if (strchr(name, '/') == NULL) {
        while (next_in_path(&list, name, path)) {
            if (is_executable_file(path)) return 0;
        }
        return refuse(player, name, ENOENT, "executable file not found in $PATH");
    }
    if (stat(name, &status) < 0) {
        int error = errno;
        const char *reason = strerror(error);
        snprintf(path, sizeof path, "stat %.200s: %c%s", name, tolower(reason[0]), reason + 1);
        return refuse(player, name, error, path);
    }
    return is_executable_file(name) ? 0 : refuse(player, name, EACCES, "permission denied");
}

struct search {
    const char *name;
    const char *list;
};

static int look_for_search(struct player *player, void *about)
{
    const struct search *search = about;
    return look_for(player, search->name, search->list);
}

int find_executable(struct player *player, const struct field *f)
{
    struct search search = {f[0].bytes, f[1].bytes};
    return look_as_user(player, &f[2], look_for_search, &search);
}

/*
 * Executes a name without "/" from the directories of PATH, or returns with errno. Nothing but execve is called: a filter
 * is loaded that may refuse to look.
 */
static void execute_from_path(const char *name, char *const *args, char *const *env)
{
    const char *list = "";
    for (char *const *variable = env; *variable != NULL; variable++) {
        if (strncmp(*variable, "PATH=", 5) == 0) list = *variable + 5;
    }
    char path[PATH_MAX];
    while (next_in_path(&list, name, path)) {
        execve(path, args, env);
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) return;
    }
    errno = ENOENT;
}

/* Moves what the process gets to 3, 4, ...; everything else closes. All are first moved out of each other's way. */
static int hand_on(struct player *player, const struct field *list)
{
    if (!player->filtered && close_at_execute() < 0) return -1;
    int count = (int)list->count, above = FIRST_DESCRIPTOR + (int)player->program.descriptors + count;
    if (count > 0 && player->channel >= 0) {
        int moved = fcntl(player->channel, F_DUPFD_CLOEXEC, above);
        if (moved < 0) return -1;
        close_fd(&player->channel);
        player->channel = moved;
    }
    cleanup_free int *sources = calloc((size_t)count + 1, sizeof *sources);
    if (sources == NULL) return -1;
    for (int i = 0; i < count; i++) {
        sources[i] = fcntl(FIRST_DESCRIPTOR + (int)list_number(list, (uint32_t)i), F_DUPFD_CLOEXEC, above);
        if (sources[i] < 0) return -1;
    }
    for (int i = 0; i < count; i++) {
        if (dup2(sources[i], STDERR_FILENO + 1 + i) < 0) return -1;
    }
    return 0;
}

int execute(struct player *player, const struct field *f)
{
    cleanup_free char **args = string_array(&f[0]);
    cleanup_free char **env = string_array(&f[1]);
    if (args == NULL || env == NULL) return -1;
    const char *name = args[0] == NULL ? "" : args[0];
    if (name[0] == 0) return refuse(player, name, ENOENT, "executable file not found in $PATH");
    if (drop_whole_filesystems(player) < 0) return -1;
    if (hand_on(player, &f[2]) < 0) return explain(player, "pass descriptors");
    if (strchr(name, '/') != NULL) {
        execve(name, args, env);
    } else {
        execute_from_path(name, args, env);
        if (errno == ENOENT) return refuse(player, name, ENOENT, "executable file not found in $PATH");
    }
    return refuse(player, name, errno, strerror(errno));
}
