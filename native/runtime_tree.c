/*
 * What createContainer hooks see: the runtime's own tree with the container's below it, as before liblxc changed the root. It is
 * changed back for them, and then again; the namespaces and the mounts are the container's all the time.
 */
#include "player.h"

#include <string.h>
#include <sys/mount.h>

static int pivot_root(const char *new_root, const char *put_old)
{
    return (int)syscall(SYS_pivot_root, new_root, put_old);
}

/* What lies on the root so that no path leads to it goes along with the root. */
static int move_whole_filesystems(const struct player *player, int root)
{
    return player->whole < 0 ? 0 : sys_move_mount(player->whole, root);
}

int enter_runtime_tree(struct player *player, const struct field *f)
{
    cleanup_fd int tree = handed(&f[0]);
    const char *container = f[1].bytes + strspn(f[1].bytes, "/");
    if (sys_move_mount(tree, player->root) < 0 || fchdir(tree) < 0) return explain(player, "attach it");
    if (pivot_root(".", container) < 0) return explain(player, "put the container at /%.300s", container);
    if (move_whole_filesystems(player, tree) < 0) return explain(player, "move the whole filesystems");
    return fchdir(player->root);
}

int leave_runtime_tree(struct player *player, const struct field *f)
{
    (void)f;
    cleanup_fd int tree = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (tree < 0 || fchdir(player->root) < 0) return -1;
    if (move_whole_filesystems(player, player->root) < 0) return explain(player, "move the whole filesystems back");
    /* The old root comes to lie on the new one, where no path leads. */
    if (pivot_root(".", ".") < 0) return explain(player, "change the root");
    if (fchdir(tree) < 0 || umount2(".", MNT_DETACH) < 0) return explain(player, "unmount it");
    return chdir("/");
}
