import { chooseRow, type MountCapabilities } from "../../mounts/spec.ts";
import { type Check, works } from "./check.ts";

export type StorageFacts = {
  readonly mounts: MountCapabilities;
  readonly reflink: boolean;
  /** Are the engine's layers on the store's filesystem? Undefined if there is no engine's storage. */
  readonly sameFilesystem: boolean | undefined;
  readonly verity: boolean;
  readonly freeBytes: number;
};

/** "failed" with the reason: the kernel refused. */
export type IdMapFacts = {
  readonly userNamespace: string | undefined;
  readonly idMappedMount: string | undefined;
};

const LITTLE_SPACE = 1e9;

/** How molecules will be mounted here. */
export function mountChecks({ mounts }: Pick<StorageFacts, "mounts">): Check[] {
  return [erofsCheck(mounts), overlayCheck(mounts), rootCheck(mounts)];
}

function erofsCheck({ erofs }: MountCapabilities): Check {
  const id = "kernel.erofs";
  if (erofs === "file") return works(id, "an EROFS image is mounted straight from its file");
  if (erofs === "loop") return works(id, "an EROFS image is mounted through a loop device");
  return {
    id,
    status: "limited",
    finding: "no EROFS image can be mounted, neither from its file nor through a loop device",
    effect: "each molecule is checked out as a tree of files, which takes time and space",
    advice: "load or install the kernel modules erofs and loop: modprobe erofs loop",
  };
}

function overlayCheck({ erofs, dataOnly, singleColon }: MountCapabilities): Check {
  const id = "kernel.overlay-data";
  if (dataOnly === "plain") return works(id, "overlay has data-only layers, also without metacopy=on");
  if (dataOnly === "metacopy") return works(id, "overlay has data-only layers with metacopy=on");
  if (singleColon)
    return works(id, "overlay has no data-only layers, but finds the objects in a plain lower layer");
  return {
    id,
    status: "limited",
    finding:
      erofs === "none" ? "not tried: there is no EROFS" : "overlay finds no file contents in another layer",
    effect: "each molecule is checked out as a tree of files, which takes time and space",
    advice: "load the kernel module overlay; a kernel from 6.5 on has data-only layers",
  };
}

function rootCheck(mounts: MountCapabilities): Check {
  const row = chooseRow(mounts, true);
  const id = "kernel.container-root";
  if (row !== "tree") return works(id, `a container's root is mounted as ${row}`);
  return {
    id,
    status: "limited",
    finding: "a container's root is a checked-out tree",
    effect: "a fix copies or reflinks the files of each image that it changes",
  };
}

export function filesystemChecks({
  mounts,
  reflink,
  sameFilesystem,
  verity,
  freeBytes,
}: StorageFacts): Check[] {
  return [
    verityCheck(mounts, verity),
    sharingCheck(reflink, sameFilesystem),
    freeBytes >= LITTLE_SPACE
      ? works("filesystem.space", `${(freeBytes / 1e9).toFixed(1)} GB are free for the store`)
      : {
          id: "filesystem.space",
          status: "limited",
          finding: `only ${(freeBytes / 1e6).toFixed(0)} MB are free for the store`,
          effect: "imports and fixes may fail; nothing is lost then",
          advice: "atomfs gc, atomfs df",
        },
  ];
}

function verityCheck({ verity }: MountCapabilities, hasVerity: boolean): Check {
  const id = "filesystem.verity";
  if (verity !== "none") return works(id, "the store's filesystem has fs-verity, and overlay checks it");
  return {
    id,
    status: "limited",
    finding: hasVerity ? "overlay does not check fs-verity" : "the store's filesystem has no fs-verity",
    effect:
      "the kernel does not measure file contents when they are read; molecules are measured when they are mounted, contents by `atomfs fsck`",
    ...(hasVerity
      ? {}
      : { advice: "ext4: tune2fs -O verity DEVICE, with a kernel that has CONFIG_FS_VERITY" }),
  };
}

function sharingCheck(reflink: boolean, sameFilesystem: boolean | undefined): Check {
  const id = "filesystem.sharing";
  if (sameFilesystem === undefined)
    return { id, status: "absent", finding: "there is no engine's storage to share files with" };
  if (sameFilesystem)
    return works(
      id,
      `files of images that an engine holds are shared by ${reflink ? "reflink" : "hard link"}`,
    );
  return {
    id,
    status: "limited",
    finding: "the store and the engine's storage are on different filesystems",
    effect: "files of images that an engine holds are copied at import",
    advice: "put the store on the filesystem of the engine's storage (--root, ATOMFS_ROOT)",
  };
}

export function idMapChecks({ userNamespace, idMappedMount }: IdMapFacts): Check[] {
  const failed = (id: string, finding: string, effect: string): Check => ({
    id,
    status: "limited",
    finding,
    effect,
  });
  return [
    userNamespace === undefined
      ? works("kernel.user-namespaces", "user namespaces can be made")
      : failed(
          "kernel.user-namespaces",
          userNamespace,
          "containers with a user namespace of their own do not start",
        ),
    idMappedMount === undefined
      ? works("kernel.idmapped-mounts", "the store's filesystem can be mounted with mapped ids")
      : failed(
          "kernel.idmapped-mounts",
          idMappedMount,
          "containers with a user namespace cannot have a mount with mapped ids of it",
        ),
  ];
}
