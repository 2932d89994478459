/*
 * The command crio-lxc: the executable `atomfs` that lies beside it, by its other name and without JavaScriptCore's first
 * compiler. A call ends before compiled code pays for itself, and only the environment can say so. The caller's own
 * settings of that kind are for other programs, and a wrong one would end this one: they are not handed on.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static const char PROGRAM[] = "atomfs";
static const char PREFIX[] = "BUN_";
static char NO_COMPILER[] = "BUN_JSC_useBaselineJIT=0";

/* The path of PROGRAM in the directory of this executable. */
static int find_beside(char path[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (length < 0) return -1;
    path[length] = 0;
    char *name = strrchr(path, '/') + 1;
    if (name + sizeof PROGRAM > path + PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(name, PROGRAM, sizeof PROGRAM);
    return 0;
}

static char **own_environment(void)
{
    size_t count = 0;
    while (environ[count] != NULL) count++;
    char **own = calloc(count + 2, sizeof *own);
    if (own == NULL) return NULL;
    char **next = own;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(environ[i], PREFIX, sizeof PREFIX - 1) != 0) *next++ = environ[i];
    }
    *next = NO_COMPILER;
    return own;
}

int main(int argc, char **argv)
{
    char path[PATH_MAX] = "/proc/self/exe";
    char **env = own_environment();
    if (env != NULL && argc > 0 && find_beside(path) == 0) {
        argv[0] = (char[]){"crio-lxc"};
        execve(path, argv, env);
    }
    fprintf(stderr, "Cannot start crio-lxc: %s: %s\n", path, strerror(errno));
    return 127;
}
