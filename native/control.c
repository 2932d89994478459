/* Talking with the launcher: the control protocol of docs/formats/launch-program.md. */
#include "control.h"

#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <grp.h>

enum { READY = 1, FAILURE, WARNING, WAITING, PID, CONTINUE = 16, KEEP, GO, DESCRIPTOR };

int send_packet(int channel, const void *packet, size_t size, int descriptor)
{
    struct iovec data = {(void *)packet, size};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    if (descriptor >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
    }
    ssize_t sent;
    do sent = sendmsg(channel, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -1 : 0;
}

/* The type of the next packet; 0 if the other side has closed. */
static uint32_t receive_type(int channel)
{
    uint32_t type;
    ssize_t size;
    do size = recv(channel, &type, sizeof type, 0);
    while (size < 0 && errno == EINTR);
    return size == sizeof type ? type : 0;
}

static int send_words(struct player *player, const uint32_t *words, size_t size)
{
    return send_packet(player->channel, words, size, -1);
}

static void report_trouble(struct player *player, uint32_t type, int error, const char *text)
{
    uint32_t packet[MAX_PACKET / 4] = {type, player->operation, (uint32_t)error};
    size_t size = strlen(text);
    if (size > sizeof packet - 12) size = sizeof packet - 12;
    memcpy(packet + 3, text, size);
    if (player->channel >= 0) send_packet(player->channel, packet, 12 + size, -1);
}

void report_warning(struct player *player, int error, const char *text)
{
    report_trouble(player, WARNING, error, text);
}

_Noreturn void report_failure(struct player *player, int error, const char *text)
{
    report_trouble(player, FAILURE, error, text);
    _exit(player->exit_code);
}

void end_without_launcher(const struct player *player)
{
    struct pollfd launcher = {.fd = player->channel};
    if (player->guarded && poll(&launcher, 1, 0) > 0) _exit(EXIT_FAILED);
}

/*
 * The type of the next packet; 0 if the other side has closed. Of DESCRIPTOR: `index`, and `descriptor`, -1 if none came along.
 */
static uint32_t receive_command(int channel, uint32_t *index, int *descriptor)
{
    uint32_t words[2] = {0, 0};
    struct iovec data = {words, sizeof words};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t size;
    do size = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
    while (size < 0 && errno == EINTR);
    struct cmsghdr *header = size < 0 ? NULL : CMSG_FIRSTHDR(&message);
    bool came = header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
                header->cmsg_len == CMSG_LEN(sizeof(int));
    *descriptor = -1;
    if (came) memcpy(descriptor, CMSG_DATA(header), sizeof *descriptor);
    *index = words[1];
    return size == (words[0] == DESCRIPTOR ? 8 : 4) ? words[0] : 0;
}

/* What the launcher could not open before takes its place among the descriptors, until the launcher says to go on. */
int await_launcher(struct player *player, const struct field *f)
{
    (void)f;
    if (send_words(player, (uint32_t[]){WAITING, player->operation}, 8) < 0) return -1;
    for (;;) {
        uint32_t index;
        cleanup_fd int descriptor = -1;
        uint32_t type = receive_command(player->channel, &index, &descriptor);
        if (type == CONTINUE) return 0;
        if (type != DESCRIPTOR || descriptor < 0 || index >= player->program.descriptors) _exit(EXIT_FAILED);
        if (dup3(descriptor, FIRST_DESCRIPTOR + (int)index, O_CLOEXEC) < 0) return explain(player, "take a descriptor");
    }
}

int await_start(struct player *player, const struct field *f)
{
    (void)f;
    if (drop_whole_filesystems(player) < 0) return -1;
    if (send_words(player, (uint32_t[]){READY}, 4) < 0 || receive_type(player->channel) != KEEP) _exit(EXIT_FAILED);
    close_fd(&player->channel);
    close_fd(&player->mask);
    player->guarded = false;
    for (;;) {
        int connection = accept4(START_FD, NULL, NULL, SOCK_CLOEXEC);
        if (connection < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
        if (connection < 0) return explain(player, "accept the start connection");
        if (receive_type(connection) == GO) {
            player->channel = connection;
            break;
        }
        close(connection);
    }
    close(START_FD);
    return 0;
}

/* Becomes root of the user namespace that was joined: until then the user is none that it knows. */
static int become_its_root(void)
{
    if (setgroups(0, NULL) < 0 && errno != EPERM) return -1;
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) return -1;
    return prctl(PR_SET_DUMPABLE, 0);
}

/* A PID namespace that was joined holds only children: the child goes on, the player's parent becomes its parent. */
static int go_on_in_child(struct player *player)
{
    int told[2];
    if (pipe2(told, O_CLOEXEC) < 0) return -1;
    long child = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
    if (child < 0) return explain(player, "make a child");
    if (child > 0) {
        send_words(player, (uint32_t[]){PID, (uint32_t)child}, 8);
        _exit(0);
    }
    /* The launcher knows the process before it hears anything else of it. */
    close(told[1]);
    char nothing;
    while (read(told[0], &nothing, 1) < 0 && errno == EINTR) continue;
    close(told[0]);
    return 0;
}

int join_namespaces(struct player *player, const struct field *f)
{
    cleanup_fd int pidfd = handed(&f[0]);
    int namespaces = (int)f[1].number;
    if (setns(pidfd, namespaces) < 0) return explain(player, "setns");
    if ((namespaces & CLONE_NEWUSER) != 0 && become_its_root() < 0) return explain(player, "become its root");
    if (go_on_in_child(player) < 0) return -1;
    /* What was opened before belongs to the other side. */
    close_fd(&player->root);
    close_fd(&player->proc);
    close_fd(&player->mask);
    player->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return player->root < 0 ? -1 : 0;
}

int enter_namespace(struct player *player, const struct field *f)
{
    (void)player;
    cleanup_fd int namespace = handed(&f[0]);
    return setns(namespace, (int)f[1].number);
}
