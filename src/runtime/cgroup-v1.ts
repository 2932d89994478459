import { AtomfsError } from "../core/errors.ts";
import type {
  BlockIoResources,
  MemoryResources,
  ResourcesConfig,
  ThrottleDevice,
} from "../formats/oci/runtime-config/types.ts";
import { type CgroupTarget, type CgroupWrite, hierarchyOf } from "./cgroup-target.ts";

type Put = (
  controller: string,
  file: string,
  value: bigint | number | string,
  onError?: CgroupWrite["onError"],
) => void;

/** Limits as files of the v1 controllers (Documentation/admin-guide/cgroup-v1), also in a hybrid layout. */
export function planV1(
  resources: ResourcesConfig | undefined,
  target: CgroupTarget,
  warnings: string[],
): CgroupWrite[] {
  if (resources === undefined) return [];
  const writes: CgroupWrite[] = [];
  const put: Put = (controller, file, value, onError = "fail") => {
    const { mountPoint } = hierarchyOf(target.facts, controller);
    writes.push({ file: `${mountPoint}${target.path}/${file}`, value: String(value), onError });
  };
  if (resources.unified.size > 0)
    throw new AtomfsError(
      "unsupported",
      "Cannot set limits: resources.unified: this machine's controllers are cgroup v1",
    );
  if (resources.memory !== undefined) putMemory(resources.memory, target, put);
  putCpu(resources, put);
  if (resources.pidsLimit !== undefined)
    put("pids", "pids.max", resources.pidsLimit > 0n ? resources.pidsLimit : "max");
  if (resources.blockIo !== undefined) putBlockIo(resources.blockIo, put, warnings);
  for (const { pageSize, limit } of resources.hugepageLimits) {
    put("hugetlb", `hugetlb.${pageSize}.limit_in_bytes`, limit);
    put("hugetlb", `hugetlb.${pageSize}.rsvd.limit_in_bytes`, limit, "ignore-absent");
  }
  if (resources.network?.classId !== undefined) put("net_cls", "net_cls.classid", resources.network.classId);
  for (const { name, priority } of resources.network?.priorities ?? [])
    put("net_prio", "net_prio.ifpriomap", `${name} ${priority}`);
  for (const line of rdmaLines(resources)) put("rdma", "rdma.max", line);
  return writes;
}

function putMemory(memory: MemoryResources, { current, update }: CgroupTarget, put: Put): void {
  const limit = memory.limit === 0n ? undefined : memory.limit;
  // Without a limit on memory and swap together an unlimited memory would stay limited by the old one.
  const swap = memory.swap === 0n ? undefined : (memory.swap ?? (limit === -1n ? -1n : undefined));
  const putLimit = (): void => {
    if (limit !== undefined) put("memory", "memory.limit_in_bytes", limit);
  };
  const putSwap = (): void => {
    // Absent without swap accounting; a new cgroup then has no swap limit to lift.
    if (swap !== undefined)
      put("memory", "memory.memsw.limit_in_bytes", swap, swap === -1n ? "ignore-absent" : "fail");
  };
  // The kernel keeps memory <= memory and swap at every moment, so the one that makes room goes first.
  const { memorySwap } = current;
  const swapGrows =
    swap !== undefined &&
    memorySwap !== undefined &&
    memorySwap !== -1n &&
    (swap === -1n || swap > memorySwap);
  for (const step of update && swapGrows ? [putSwap, putLimit] : [putLimit, putSwap]) step();
  if (memory.reservation !== undefined && memory.reservation !== 0n)
    put("memory", "memory.soft_limit_in_bytes", memory.reservation);
  if (memory.swappiness !== undefined) put("memory", "memory.swappiness", memory.swappiness);
  if (memory.disableOomKiller) put("memory", "memory.oom_control", 1);
  if (memory.useHierarchy) put("memory", "memory.use_hierarchy", 1, "ignore-absent");
}

function putCpu({ cpu }: ResourcesConfig, put: Put): void {
  if (cpu === undefined) return;
  checkShares(cpu.shares);
  if (cpu.shares !== undefined && cpu.shares !== 0n) put("cpu", "cpu.shares", cpu.shares);
  // Each pair is checked as a whole by the kernel: with the old partner a new value can be too much.
  if (cpu.period !== undefined && cpu.period !== 0n) put("cpu", "cpu.cfs_period_us", cpu.period, "retry");
  if (cpu.burst !== undefined) put("cpu", "cpu.cfs_burst_us", cpu.burst, "retry");
  if (cpu.quota !== undefined && cpu.quota !== 0n) put("cpu", "cpu.cfs_quota_us", cpu.quota, "retry");
  if (cpu.realtimePeriod !== undefined && cpu.realtimePeriod !== 0n)
    put("cpu", "cpu.rt_period_us", cpu.realtimePeriod, "retry");
  if (cpu.realtimeRuntime !== undefined && cpu.realtimeRuntime !== 0n)
    put("cpu", "cpu.rt_runtime_us", cpu.realtimeRuntime, "retry");
  if (cpu.idle !== undefined) put("cpu", "cpu.idle", cpu.idle);
  if (cpu.cpus !== undefined) put("cpuset", "cpuset.cpus", cpu.cpus);
  if (cpu.mems !== undefined) put("cpuset", "cpuset.mems", cpu.mems);
}

/** The kernel takes the nearest value that it has, without a word; other runtimes refuse the others, in these words. */
function checkShares(shares: bigint | undefined): void {
  if (shares === undefined || shares === 0n || (shares >= 2n && shares <= 262_144n)) return;
  const [end, value] = shares < 2n ? ["minimum", 2] : ["maximum", 262_144];
  throw new AtomfsError(
    "bad-data",
    `Cannot set limits: resources.cpu.shares is ${shares}: the ${end} allowed cpu-shares is ${value}`,
  );
}

function putBlockIo(blockIo: BlockIoResources, put: Put, warnings: string[]): void {
  // Weights are shares, not limits, and which file takes them depends on the I/O scheduler of a device.
  const shared = "warn";
  if (blockIo.weight !== undefined) put("blkio", "blkio.bfq.weight", blockIo.weight, shared);
  if (blockIo.leafWeight !== undefined)
    warnings.push("resources.blockIO.leafWeight: no kernel of today has it; it is left out");
  for (const { major, minor, weight, leafWeight } of blockIo.weightDevice) {
    if (weight !== undefined) put("blkio", "blkio.bfq.weight_device", `${major}:${minor} ${weight}`, shared);
    if (leafWeight !== undefined)
      warnings.push("resources.blockIO.weightDevice.leafWeight: no kernel of today has it; it is left out");
  }
  const throttle = (file: string, devices: readonly ThrottleDevice[]): void => {
    for (const { major, minor, rate } of devices)
      put("blkio", `blkio.throttle.${file}`, `${major}:${minor} ${rate}`);
  };
  throttle("read_bps_device", blockIo.throttleReadBpsDevice);
  throttle("write_bps_device", blockIo.throttleWriteBpsDevice);
  throttle("read_iops_device", blockIo.throttleReadIopsDevice);
  throttle("write_iops_device", blockIo.throttleWriteIopsDevice);
}

/** "mlx4_0 hca_handle=2 hca_object=max": the same file in both versions. */
export function rdmaLines({ rdma }: ResourcesConfig): string[] {
  return [...rdma].map(([device, { handles, objects }]) => {
    if (!/^[A-Za-z0-9_.:-]{1,64}$/.test(device))
      throw new AtomfsError(
        "bad-data",
        "Cannot use config.json: linux.resources.rdma has a name that is no device",
      );
    return [
      device,
      ...(handles === undefined ? [] : [`hca_handle=${handles}`]),
      ...(objects === undefined ? [] : [`hca_object=${objects}`]),
    ].join(" ");
  });
}
