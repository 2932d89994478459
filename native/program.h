/* The launch program: docs/formats/launch-program.md. Decoded in place, without any allocation. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_FIELDS = 8, MAX_DESCRIPTORS = 512, MAX_PROGRAM_SIZE = 16 * 1024 * 1024 };

enum operation_code {
    MAKE_DIRECTORY = 1,
    ATTACH_MOUNT,
    MOUNT_FILESYSTEM,
    SET_MOUNT_ATTRIBUTES,
    SET_PROPAGATION,
    MAKE_NODE,
    MAKE_SYMLINK,
    MASK_PATH,
    MAKE_PATH_READONLY,
    WRITE_SYSCTL,
    SET_HOSTNAME,
    SET_DOMAINNAME,
    OPEN_CONSOLE,
    MAKE_ROOT_READONLY,
    SET_OOM_SCORE,
    SET_SESSION_KEYRING,
    AWAIT_START,
    RUN_HOOK,
    SET_RLIMIT,
    SET_UMASK,
    SET_PERSONALITY,
    SET_GROUPS,
    SET_IDENTITY,
    CHANGE_DIRECTORY,
    SET_NO_NEW_PRIVILEGES,
    LOAD_SECCOMP,
    SET_EXEC_LABEL,
    EXECUTE,
    AWAIT_LAUNCHER,
    JOIN_NAMESPACES,
    FIND_EXECUTABLE,
    ENTER_NAMESPACE,
    ENTER_RUNTIME_TREE,
    LEAVE_RUNTIME_TREE,
    OPERATION_CODES,
};

enum error_policy { ON_ERROR_FAIL, ON_ERROR_IGNORE_ABSENT, ON_ERROR_WARN };

/* One field. A string or bytes: `bytes` and `count` of them; a list: `bytes` of `size` with `count` elements. */
struct field {
    uint64_t number;
    const char *bytes;
    uint32_t size;
    uint32_t count;
};

struct operation {
    enum operation_code code;
    enum error_policy policy;
    struct field fields[MAX_FIELDS];
};

struct program {
    const unsigned char *bytes;
    size_t size;
    uint32_t operations;
    uint32_t descriptors;
    /* Where the next operation starts. */
    size_t at;
};

/* Checks every rule of the format, for the whole program. False: nothing of it may be played. */
bool program_open(struct program *program, const unsigned char *bytes, size_t size);

/* The next operation of a program that was opened. False: there is none. */
bool program_next(struct program *program, struct operation *operation);

const char *operation_name(enum operation_code code);

/* Element `index` of a list of strings; it is found by walking, so walk a list from its start with string_after. */
const char *first_string(const struct field *list);
const char *string_after(const char *string);

/* Element `index`, below `count`, of a list of numbers or descriptors. */
uint32_t list_number(const struct field *list, uint32_t index);

#endif
