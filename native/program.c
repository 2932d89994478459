#include "program.h"

#include <string.h>

enum { HEADER_SIZE = 24, OPERATION_HEADER_SIZE = 8, VERSION = 1, MAX_OPERATIONS = 65536 };

/* Letters of the fields: see the document. */
static const struct {
    const char *name;
    const char *letters;
} LAYOUTS[OPERATION_CODES] = {
    [1] = {"make-directory", "su"},
    [2] = {"attach-mount", "ds3"},
    [3] = {"mount-filesystem", "sslus11"},
    [4] = {"set-mount-attributes", "suu1"},
    [5] = {"set-propagation", "s31"},
    [6] = {"make-node", "s2uuuuu"},
    [7] = {"make-symlink", "ss"},
    [8] = {"mask-path", "s"},
    [9] = {"make-path-readonly", "s"},
    [10] = {"write-sysctl", "ss"},
    [11] = {"set-hostname", "s"},
    [12] = {"set-domainname", "s"},
    [13] = {"open-console", "duu1"},
    [14] = {"make-root-readonly", ""},
    [15] = {"set-oom-score", "u"},
    [16] = {"set-session-keyring", "s1"},
    [17] = {"await-start", ""},
    [18] = {"run-hook", "sllbus"},
    [19] = {"set-rlimit", "uUU"},
    [20] = {"set-umask", "u"},
    [21] = {"set-personality", "u"},
    [22] = {"set-groups", "n"},
    [23] = {"set-identity", "uu1UUUUU"},
    [24] = {"change-directory", "s1"},
    [25] = {"set-no-new-privileges", ""},
    [26] = {"load-seccomp", "bu"},
    [27] = {"set-exec-label", "1s"},
    [28] = {"execute", "llD"},
    [29] = {"await-launcher", ""},
    [30] = {"join-namespaces", "du"},
    [31] = {"find-executable", "ssuuUn"},
    [32] = {"enter-namespace", "du"},
    [33] = {"enter-runtime-tree", "ds"},
    [34] = {"leave-runtime-tree", ""},
};

/* What is left to read. Once `bad`, every further read gives nothing. */
struct reader {
    const unsigned char *at;
    size_t left;
    bool bad;
};

static const unsigned char *take(struct reader *reader, size_t size)
{
    if (reader->bad || size > reader->left) {
        reader->bad = true;
        return NULL;
    }
    const unsigned char *start = reader->at;
    reader->at += size;
    reader->left -= size;
    return start;
}

static uint32_t u32_at(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static uint32_t take_u32(struct reader *reader)
{
    const unsigned char *bytes = take(reader, 4);
    return bytes == NULL ? 0 : u32_at(bytes);
}

static uint64_t take_u64(struct reader *reader)
{
    uint64_t low = take_u32(reader);
    return low | (uint64_t)take_u32(reader) << 32;
}

static void take_bytes(struct reader *reader, struct field *field)
{
    field->count = field->size = take_u32(reader);
    field->bytes = (const char *)take(reader, field->size);
}

static void take_string(struct reader *reader, struct field *field)
{
    take_bytes(reader, field);
    const unsigned char *end = take(reader, 1);
    if (end == NULL || *end != 0 || memchr(field->bytes, 0, field->size) != NULL) reader->bad = true;
}

static void take_strings(struct reader *reader, struct field *field)
{
    field->count = take_u32(reader);
    field->bytes = (const char *)reader->at;
    for (uint32_t left = field->count; left > 0 && !reader->bad; left--) {
        struct field element;
        take_string(reader, &element);
    }
    field->size = (uint32_t)((const char *)reader->at - field->bytes);
}

static void take_numbers(struct reader *reader, struct field *field, uint64_t end)
{
    field->count = take_u32(reader);
    field->bytes = (const char *)reader->at;
    field->size = 4 * field->count;
    for (uint32_t left = field->count; left > 0 && !reader->bad; left--) {
        if (take_u32(reader) >= end) reader->bad = true;
    }
}

static void take_field(struct reader *reader, char letter, uint32_t descriptors, struct field *field)
{
    switch (letter) {
    case 's': take_string(reader, field); return;
    case 'b': take_bytes(reader, field); return;
    case 'l': take_strings(reader, field); return;
    case 'n': take_numbers(reader, field, UINT64_MAX); return;
    case 'D': take_numbers(reader, field, descriptors); return;
    case 'U': field->number = take_u64(reader); return;
    default: break;
    }
    field->number = take_u32(reader);
    if (letter == 'd' && field->number >= descriptors) reader->bad = true;
    if (letter >= '1' && letter <= '9' && field->number > (uint64_t)(letter - '0')) reader->bad = true;
}

static bool take_operation(struct reader *program, uint32_t descriptors, struct operation *operation)
{
    const unsigned char *header = take(program, OPERATION_HEADER_SIZE);
    if (header == NULL) return false;
    unsigned code = header[0] | (unsigned)header[1] << 8;
    if (code == 0 || code >= OPERATION_CODES || header[2] > ON_ERROR_WARN || header[3] != 0) return false;
    struct reader body = {.left = u32_at(header + 4)};
    body.at = take(program, body.left);
    if (body.at == NULL) return false;

    memset(operation, 0, sizeof *operation);
    operation->code = code;
    operation->policy = header[2];
    struct field *field = operation->fields;
    for (const char *letter = LAYOUTS[code].letters; *letter != 0; letter++) {
        take_field(&body, *letter, descriptors, field++);
    }
    /* Options are keys and values in turn. */
    if (code == MOUNT_FILESYSTEM && operation->fields[2].count % 2 != 0) return false;
    return !body.bad && body.left == 0;
}

bool program_open(struct program *program, const unsigned char *bytes, size_t size)
{
    struct reader reader = {.at = bytes, .left = size};
    const unsigned char *magic = take(&reader, 8);
    if (magic == NULL || memcmp(magic, "ATOMFSLP", 8) != 0 || take_u32(&reader) != VERSION) return false;
    if (take_u32(&reader) != size || size > MAX_PROGRAM_SIZE) return false;
    uint32_t operations = take_u32(&reader), descriptors = take_u32(&reader);
    if (reader.bad || operations > MAX_OPERATIONS || descriptors > MAX_DESCRIPTORS) return false;
    for (uint32_t i = 0; i < operations; i++) {
        struct operation operation;
        if (!take_operation(&reader, descriptors, &operation)) return false;
    }
    *program = (struct program){bytes, size, operations, descriptors, HEADER_SIZE};
    return reader.left == 0;
}

bool program_next(struct program *program, struct operation *operation)
{
    struct reader reader = {.at = program->bytes + program->at, .left = program->size - program->at};
    if (!take_operation(&reader, program->descriptors, operation)) return false;
    program->at = program->size - reader.left;
    return true;
}

const char *operation_name(enum operation_code code)
{
    return LAYOUTS[code].name;
}

const char *first_string(const struct field *list)
{
    return list->bytes + 4;
}

const char *string_after(const char *string)
{
    return string + strlen(string) + 1 + 4;
}

uint32_t list_number(const struct field *list, uint32_t index)
{
    return u32_at((const unsigned char *)list->bytes + 4 * (size_t)index);
}
