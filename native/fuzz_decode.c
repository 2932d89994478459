/*
 * Decodes mutations of the programs named on the command line, for so many milliseconds with this seed:
 *   fuzz_decode MILLISECONDS SEED FILE...
 * Built with ASAN and UBSan, which end it at the first wrong access. Each input is an allocation of its exact size.
 */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t state;
static volatile uint64_t sink;

static uint32_t next_random(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

/* Touches everything that an operation could. */
static bool decode(const unsigned char *bytes, size_t size)
{
    struct program program;
    if (!program_open(&program, bytes, size)) return false;
    struct operation operation;
    uint32_t found = 0;
    while (program_next(&program, &operation)) {
        found++;
        sink += strlen(operation_name(operation.code));
        const struct field *f = operation.fields;
        switch (operation.code) {
        case MAKE_SYMLINK:
            sink += strlen(f[0].bytes) + strlen(f[1].bytes);
            break;
        case EXECUTE:
            for (int list = 0; list < 2; list++) {
                const char *text = first_string(&f[list]);
                for (uint32_t i = 0; i < f[list].count; i++, text = string_after(text)) sink += strlen(text);
            }
            for (uint32_t i = 0; i < f[2].count; i++) sink += list_number(&f[2], i);
            break;
        case SET_GROUPS:
            for (uint32_t i = 0; i < f[0].count; i++) sink += list_number(&f[0], i);
            break;
        default:
            for (int i = 0; i < MAX_FIELDS; i++) {
                for (uint32_t n = 0; n < f[i].size; n++) sink += (unsigned char)f[i].bytes[n];
            }
        }
    }
    if (found != program.operations || program.at != size) abort();
    return true;
}

static void mutate(unsigned char *bytes, size_t size)
{
    static const unsigned char INTERESTING[] = {0, 1, 2, 4, 0x7f, 0x80, 0xff};
    for (uint32_t n = 1 + next_random() % 4; n > 0 && size > 0; n--) {
        size_t at = next_random() % size;
        switch (next_random() % 3) {
        case 0: bytes[at] = (unsigned char)next_random(); break;
        case 1: bytes[at] = INTERESTING[next_random() % sizeof INTERESTING]; break;
        default: bytes[at] = (unsigned char)(bytes[at] + (next_random() % 9) - 4);
        }
    }
}

int main(int count, char **arguments)
{
    if (count < 4) return 2;
    double end = now() + atof(arguments[1]);
    state = strtoull(arguments[2], NULL, 10);
    unsigned long tried = 0, accepted = 0;
    for (int one = 3; now() < end || one < count; one++) {
        const char *path = arguments[one < count ? one : 3 + (int)(next_random() % (unsigned)(count - 3))];
        FILE *file = fopen(path, "rb");
        static unsigned char original[1 << 20];
        if (file == NULL) return 2;
        size_t size = fread(original, 1, sizeof original, file);
        fclose(file);
        if (!decode(original, size)) {
            fprintf(stderr, "%s is refused\n", path);
            return 1;
        }
        for (int round = 0; round < 500; round++) {
            size_t length = next_random() % 4 == 0 ? next_random() % (size + 1) : size;
            unsigned char *copy = malloc(length + (length == 0));
            memcpy(copy, original, length);
            /* A cut program says its own size, else the header alone would refuse it. */
            if (length >= 16) memcpy(copy + 12, &(uint32_t){(uint32_t)length}, 4);
            mutate(copy, length);
            accepted += decode(copy, length);
            tried++;
            free(copy);
        }
    }
    printf("%lu tried, %lu accepted\n", tried, accepted);
    return 0;
}
