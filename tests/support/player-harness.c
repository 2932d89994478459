/*
 * Runs the player in new namespaces on a root, as liblxc would, and shows what it reports:
 *   player-harness PLAYER PROGRAM LOWER UPPER WORK [OPTION...]
 * The root is an overlay of LOWER, UPPER and WORK. Options are descriptors for the program, in order, or switches:
 *   file:PATH  mount:PATH  socket (a console socket, whose other end is here)  pidfd:PID
 *   manual (answers only what stdin says: continue keep go refuse close, "kill N", "hand N PATH")  join (no namespaces, no new root)
 *   unsealed  user (a user namespace, ids 0 to 999 from 100000)  shared-pid
 * On stdout: a line for each event. The container's stdout and stderr are this program's stderr.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);

enum { FIRST = 7, MAX_HANDED = 32, DETACH = 2 };

static int handed[FIRST + MAX_HANDED], handed_count = FIRST;
static bool manual, join_only, unsealed, user_namespace, shared_pid;
static int control = -1, connection = -1, console = -1;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static socklen_t address_size;

static int check(int result, const char *what)
{
    if (result >= 0) return result;
    printf("harness: %s: %s\n", what, strerror(errno));
    exit(99);
}

static void event(const char *text)
{
    printf("%s\n", text);
    fflush(stdout);
}

static int sealed_copy(const char *path)
{
    int from = check(open(path, O_RDONLY | O_CLOEXEC), path);
    int to = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING | 0x10 /* MFD_EXEC */);
    /* Before Linux 6.3 the flag does not exist and every such file is executable. */
    if (to < 0) to = check(memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd");
    static char chunk[65536];
    for (ssize_t size; (size = read(from, chunk, sizeof chunk)) > 0;) {
        check(write(to, chunk, (size_t)size) == size ? 0 : -1, "write");
    }
    close(from);
    int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    if (!unsealed) check(fcntl(to, F_ADD_SEALS, seals), "seal");
    return to;
}

static int listen_somewhere(void)
{
    int fd = check(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "socket");
    /* An abstract name of the kernel's choice. */
    check(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)), "bind");
    address_size = sizeof address;
    check(getsockname(fd, (struct sockaddr *)&address, &address_size), "getsockname");
    check(listen(fd, 4), "listen");
    return fd;
}

static int pair(int type, int *ours)
{
    int ends[2];
    check(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), "socketpair");
    *ours = ends[0];
    return ends[1];
}

static void take_option(const char *option)
{
    int *next = &handed[handed_count];
    if (strncmp(option, "file:", 5) == 0) *next = check(open(option + 5, O_RDWR | O_CLOEXEC), option);
    else if (strncmp(option, "mount:", 6) == 0)
        *next = check((int)syscall(SYS_open_tree, AT_FDCWD, option + 6, OPEN_TREE_CLONE | O_CLOEXEC), option);
    else if (strncmp(option, "pidfd:", 6) == 0)
        *next = check((int)syscall(SYS_pidfd_open, atoi(option + 6), 0), option);
    else if (strcmp(option, "socket") == 0) *next = pair(SOCK_STREAM, &console);
    else {
        manual |= strcmp(option, "manual") == 0;
        join_only |= strcmp(option, "join") == 0;
        unsealed |= strcmp(option, "unsealed") == 0;
        user_namespace |= strcmp(option, "user") == 0;
        shared_pid |= strcmp(option, "shared-pid") == 0;
        return;
    }
    handed_count++;
}

static void enter_root(char *const *root)
{
    char options[4096];
    snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s", root[0], root[1], root[2]);
    check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "make / private");
    check(mount("root", root[2], "overlay", 0, options), "overlay");
    check(chdir(root[2]), "chdir");
    /* As liblxc: it executes the player through /proc, and a user namespace gets no new procfs unless it shows one. */
    check(mount("proc", "proc", "proc", 0, NULL), "proc");
    check((int)syscall(SYS_pivot_root, ".", "."), "pivot_root");
    check(umount2(".", DETACH), "umount");
    check(chdir("/"), "chdir /");
}

/* All are first moved above every number that is wanted. */
static void place_descriptors(void)
{
    for (int i = 3; i < handed_count; i++) handed[i] = check(fcntl(handed[i], F_DUPFD, 200), "dup");
    for (int i = 3; i < handed_count; i++) check(dup2(handed[i], i), "dup2");
    /* This one leaks, as from a careless parent: the player has to close it. */
    check(dup2(2, 60), "leak");
    check(dup2(2, 1), "stdout");
    for (int i = 61; i < 1024; i++) close(i);
}

static pid_t start(char *const *root)
{
    int flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID;
    if (shared_pid) flags &= ~CLONE_NEWPID;
    if (join_only) flags = 0;
    if (user_namespace) flags |= CLONE_NEWUSER;
    int mapped[2];
    check(pipe2(mapped, O_CLOEXEC), "pipe");
    pid_t child = check((int)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0), "clone");
    if (child > 0) {
        for (int i = 0; user_namespace && i < 2; i++) {
            char path[64];
            snprintf(path, sizeof path, "/proc/%d/%cid_map", child, "ug"[i]);
            int fd = check(open(path, O_WRONLY), path);
            check((int)write(fd, "0 100000 1000\n", 14), "map");
            close(fd);
        }
        check((int)write(mapped[1], "x", 1), "tell the child");
        return child;
    }
    /* A test that was given up leaves no container behind. */
    check(prctl(PR_SET_PDEATHSIG, SIGKILL), "death signal");
    char byte;
    check((int)read(mapped[0], &byte, 1), "wait for the parent");
    if (user_namespace) {
        check(setgid(0), "setgid");
        check(setuid(0), "setuid");
        check(prctl(PR_SET_PDEATHSIG, SIGKILL), "death signal");
    }
    if (!join_only) enter_root(root);
    place_descriptors();
    check((int)syscall(SYS_execveat, 4, "", (char *[]){"player", NULL}, (char *[]){NULL}, AT_EMPTY_PATH), "execveat");
    return 0;
}

static void say(int fd, uint32_t type)
{
    if (fd < 0 || send(fd, &type, sizeof type, MSG_NOSIGNAL) < 0) event("send failed");
}

/* "N PATH": a copy of the mount at PATH becomes descriptor N of the program. */
static void hand(const char *words)
{
    char *path;
    uint32_t packet[2] = {19, (uint32_t)strtoul(words, &path, 10)};
    int mount = check((int)syscall(SYS_open_tree, AT_FDCWD, path + 1, OPEN_TREE_CLONE | O_CLOEXEC), path);
    char space[CMSG_SPACE(sizeof mount)] = {0};
    struct iovec data = {packet, sizeof packet};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof mount), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(header), &mount, sizeof mount);
    check((int)sendmsg(control, &message, MSG_NOSIGNAL), "hand");
    close(mount);
}

static void connect_start(bool go)
{
    int fd = check(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "socket");
    if (connect(fd, (struct sockaddr *)&address, address_size) < 0) {
        printf("connect: %s\n", strerror(errno));
        fflush(stdout);
        close(fd);
        return;
    }
    if (!go) {
        close(fd);
        return;
    }
    connection = fd;
    say(connection, 18);
}

/* False at the end of the connection. */
static bool receive(int fd, const char *name)
{
    uint32_t packet[257] = {0};
    char space[64];
    struct iovec data = {packet, 1024};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    ssize_t size = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (size <= 0) {
        printf("%s closed\n", name);
        fflush(stdout);
        return false;
    }
    switch (packet[0]) {
    case 1: printf("ready\n"); break;
    case 2:
    case 3: printf("%s %d %u %s\n", packet[0] == 2 ? "error" : "warning", (int)packet[1], packet[2], (char *)&packet[3]); break;
    case 4: printf("waiting %u\n", packet[1]); break;
    case 5: printf("pid %s\n", packet[1] > 1 ? "known" : "wrong"); break;
    case 6: printf("listener %s\n", message.msg_controllen > 0 ? "with descriptor" : "alone"); break;
    default: printf("unknown %u\n", packet[0]);
    }
    fflush(stdout);
    if (manual) return true;
    if (packet[0] == 4) say(control, 16);
    if (packet[0] == 1) {
        say(control, 17);
        connect_start(true);
    }
    return true;
}

/* A console's master: shows what the container writes to it. */
static int receive_console(int fd)
{
    char text[64] = "", space[64];
    struct iovec data = {text, sizeof text - 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    ssize_t size = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    int master = -1;
    if (size > 0 && message.msg_controllen > 0) memcpy(&master, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof master);
    printf("console %s\n", master >= 0 ? text : "without descriptor");
    fflush(stdout);
    return master;
}

static void obey(pid_t child)
{
    /* With the longest path. */
    char line[4096 + 16];
    if (fgets(line, sizeof line, stdin) == NULL) exit(98);
    line[strcspn(line, "\n")] = 0;
    if (strcmp(line, "continue") == 0) say(control, 16);
    else if (strcmp(line, "keep") == 0) say(control, 17);
    else if (strcmp(line, "go") == 0) connect_start(true);
    else if (strcmp(line, "refuse") == 0) connect_start(false);
    else if (strncmp(line, "hand ", 5) == 0) hand(line + 5);
    else if (strncmp(line, "kill ", 5) == 0) check(kill(child, atoi(line + 5)), "kill");
    else if (strcmp(line, "close") == 0) {
        close(control);
        control = -1;
    } else printf("harness: %s?\n", line);
}

/* Until every process has ended and everything it said was heard. */
static void watch(pid_t child)
{
    int status, left = join_only ? 2 : 1, master = -1;
    pid_t ended = 0;
    for (;;) {
        struct pollfd all[] = {{control, POLLIN, 0}, {connection, POLLIN, 0}, {console, POLLIN, 0},
                               {master, POLLIN, 0}, {manual ? 0 : -1, POLLIN, 0}};
        bool waits = control >= 0 || connection >= 0 || master >= 0;
        if (ended == 0 && left > 0) ended = waitpid(-1, &status, WNOHANG);
        poll(all, 5, ended > 0 ? 0 : left > 0 ? 10 : waits ? 200 : 0);
        if (all[0].revents != 0 && !receive(control, "control")) {
            close(control);
            control = -1;
        }
        if (all[1].revents != 0 && !receive(connection, "start")) {
            close(connection);
            connection = -1;
        }
        if (all[2].revents != 0) {
            master = receive_console(console);
            close(console);
            console = -1;
        }
        if (all[3].revents != 0) {
            char text[4096];
            ssize_t size = read(master, text, sizeof text);
            if (size > 0) check((int)write(2, text, (size_t)size), "show");
            else {
                close(master);
                master = -1;
            }
        }
        if (all[4].revents != 0) obey(child);
        /* What it said comes before its end. */
        bool quiet = true;
        for (int i = 0; i < 5; i++) quiet = quiet && all[i].revents == 0;
        if (ended > 0 && quiet) {
            left--;
            if (WIFSIGNALED(status)) printf("signal %d\n", WTERMSIG(status));
            else printf("exit %d\n", WEXITSTATUS(status));
            fflush(stdout);
            if (join_only && ended == child && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) left = 0;
            ended = 0;
        } else if (left == 0 && control < 0 && connection < 0 && master < 0) {
            return;
        }
    }
}

int main(int count, char **arguments)
{
    if (count < 6) return 97;
    /* Else a second line waits in the buffer, where poll does not see it. */
    setvbuf(stdin, NULL, _IONBF, 0);
    for (int i = 6; i < count; i++) take_option(arguments[i]);
    handed[3] = sealed_copy(arguments[2]);
    handed[4] = sealed_copy(arguments[1]);
    handed[5] = pair(SOCK_SEQPACKET, &control);
    handed[6] = listen_somewhere();
    pid_t child = start(arguments + 3);
    for (int i = 3; i < handed_count; i++) close(handed[i]);
    watch(child);
    return 0;
}
