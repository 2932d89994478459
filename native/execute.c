/* The last operation: the player becomes the container's process. */
#include "player.h"

#include <ctype.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The engines know these texts from other runtimes: "exec: "x": permission denied". */
static int refuse(struct player *player, const char *name, int error, const char *reason)
{
    player->exit_code = error == ENOENT || error == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
    errno = error;
    return explain(player, "exec: \"%.300s\": %c%s", name, tolower(reason[0]), reason + 1);
}

static bool is_executable_file(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

/* Finds a name without "/" in the directories of PATH. Relative ones do not count: nobody should meet a file of the cwd. */
static bool find_in_path(const char *name, char *const *env, char found[PATH_MAX])
{
    const char *list = "";
    for (; *env != NULL; env++) {
        if (strncmp(*env, "PATH=", 5) == 0) list = *env + 5;
    }
    while (*list != 0) {
        size_t length = strcspn(list, ":");
        int size = snprintf(found, PATH_MAX, "%.*s/%s", (int)length, list, name);
        if (list[0] == '/' && size > 0 && size < PATH_MAX && is_executable_file(found)) return true;
        list += length + (list[length] == ':');
    }
    return false;
}

/* Moves what the process gets to 3, 4, ... and lets everything else close. All are first moved out of each other's way. */
static int hand_on(struct player *player, const struct field *list)
{
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
    return sys_close_range((unsigned)(STDERR_FILENO + 1 + count), CLOSE_RANGE_CLOEXEC);
}

int execute(struct player *player, const struct field *f)
{
    cleanup_free char **args = string_array(&f[0]);
    cleanup_free char **env = string_array(&f[1]);
    if (args == NULL || env == NULL) return -1;
    const char *name = args[0] == NULL ? "" : args[0];
    char found[PATH_MAX];
    if (name[0] == 0) return refuse(player, name, ENOENT, "no such file or directory");
    if (strchr(name, '/') == NULL) {
        if (!find_in_path(name, env, found)) {
            return refuse(player, name, ENOENT, "executable file not found in $PATH");
        }
        name = found;
    }
    if (hand_on(player, &f[2]) < 0) return explain(player, "pass descriptors");
    execve(name, args, env);
    return refuse(player, args[0], errno, strerror(errno));
}
