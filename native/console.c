/* The container's terminal: a pseudoterminal of its own devpts. */
#include "player.h"

#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <termios.h>

static int open_master(struct player *player)
{
    cleanup_fd int devpts = open_in_root(player, "/dev/pts", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
    struct statfs status;
    if (devpts < 0 || fstatfs(devpts, &status) < 0) return explain(player, "/dev/pts");
    if (status.f_type != DEVPTS_SUPER_MAGIC) {
        errno = ENODEV;
        return explain(player, "/dev/pts is no devpts");
    }
    struct open_how how = {
        .flags = O_RDWR | O_NOCTTY | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
    };
    int master = sys_openat2(devpts, "ptmx", &how);
    return master < 0 ? explain(player, "/dev/pts/ptmx") : master;
}

static int open_slave(int master)
{
    int locked = 0;
    if (ioctl(master, TIOCSPTLCK, &locked) < 0) return -1;
    return ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

static int bind_console(struct player *player, int slave)
{
    cleanup_fd int target = make_path(player, "/dev/console", PATH_FILE, 0620, RESOLVE_NO_SYMLINKS);
    if (target < 0) return -1;
    cleanup_fd int mount = sys_open_tree(slave, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    return mount < 0 ? -1 : sys_move_mount(mount, target);
}

int open_console(struct player *player, const struct field *f)
{
    static const char NAME[] = "/dev/ptmx";
    cleanup_fd int socket = handed(&f[0]);
    struct winsize size = {.ws_row = (unsigned short)f[1].number, .ws_col = (unsigned short)f[2].number};
    cleanup_fd int master = open_master(player);
    if (master < 0) return -1;
    cleanup_fd int slave = open_slave(master);
    if (slave < 0) return explain(player, "its other side");
    if ((size.ws_row != 0 || size.ws_col != 0) && ioctl(master, TIOCSWINSZ, &size) < 0) {
        return explain(player, "its size");
    }
    if (f[3].number != 0 && bind_console(player, slave) < 0) return explain(player, "/dev/console");
    /* EPERM: it leads a session already. */
    if (setsid() < 0 && errno != EPERM) return explain(player, "setsid");
    if (ioctl(slave, TIOCSCTTY, 0) < 0) return explain(player, "take it as the session's terminal");
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        if (dup2(slave, fd) < 0) return explain(player, "stdio");
    }
    if (send_packet(socket, NAME, sizeof NAME - 1, master) < 0) return explain(player, "the console socket");
    return 0;
}
