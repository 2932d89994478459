import type { Field } from "./reader.ts";
import type {
  BlockIoResources,
  CpuResources,
  DeviceRule,
  MemoryResources,
  ResourcesConfig,
  ThrottleDevice,
  WeightDevice,
} from "./types.ts";

/** Also what `update --resources` takes: a whole document of this form. */
export function readResources(resources: Field): ResourcesConfig {
  const field = resources.object(
    "devices",
    "memory",
    "cpu",
    "pids",
    "blockIO",
    "hugepageLimits",
    "network",
    "rdma",
    "unified",
  );
  return {
    devices: field.devices.optional((devices) => devices.list(readDeviceRule)),
    memory: field.memory.optional(readMemory),
    cpu: field.cpu.optional(readCpu),
    pidsLimit: field.pids.optional((pids) =>
      pids.object("limit").limit.optional((limit) => limit.signed64()),
    ),
    blockIo: field.blockIO.optional(readBlockIo),
    hugepageLimits: field.hugepageLimits.list((item) => {
      const { pageSize, limit } = item.object("pageSize", "limit");
      const size = pageSize.text();
      // It becomes part of a file's name.
      if (!/^[1-9][0-9]{0,9}[KMG]B$/.test(size))
        pageSize.refuse(`is ${JSON.stringify(size.slice(0, 40))}, want a size like 2MB`);
      return { pageSize: size, limit: limit.unsigned64() };
    }),
    network: field.network.optional((network) => {
      const { classID, priorities } = network.object("classID", "priorities");
      return {
        classId: classID.optional((id) => id.unsigned32()),
        priorities: priorities.list((item) => {
          const { name, priority } = item.object("name", "priority");
          return { name: oneLine(name), priority: priority.unsigned32() };
        }),
      };
    }),
    rdma: field.rdma.map((item) => {
      const { hcaHandles, hcaObjects } = item.object("hcaHandles", "hcaObjects");
      return {
        handles: hcaHandles.optional((count) => count.unsigned32()),
        objects: hcaObjects.optional((count) => count.unsigned32()),
      };
    }),
    unified: field.unified.map((value) => value.text()),
  };
}

function oneLine(field: Field): string {
  const text = field.text();
  if (/[\s]/.test(text) || text === "") field.refuse("is not one word");
  return text;
}

const DEVICE_TYPES = { a: "all", c: "char", u: "char", b: "block" } as const;

/** -1, 0 and less than 0 in old files: Go's own encoders write -1 for "all". */
function deviceNumber(field: Field): number | undefined {
  const number = field.optional((value) => value.number(-1, 2 ** 32 - 1));
  return number === -1 ? undefined : number;
}

function readDeviceRule(rule: Field): DeviceRule {
  const field = rule.object("allow", "type", "major", "minor", "access");
  const type = field.type.optionalText() ?? "a";
  if (!Object.hasOwn(DEVICE_TYPES, type)) field.type.refuse(`is ${JSON.stringify(type.slice(0, 40))}`);
  const access = field.access.optionalText() ?? "rwm";
  if (!/^[rwm]{1,3}$/.test(access) || new Set(access).size !== access.length)
    field.access.refuse(`is ${JSON.stringify(access.slice(0, 40))}, want letters of rwm`);
  return {
    allow: field.allow.flag(),
    type: DEVICE_TYPES[type as keyof typeof DEVICE_TYPES],
    major: deviceNumber(field.major),
    minor: deviceNumber(field.minor),
    access: ["r", "w", "m"].filter((letter) => access.includes(letter)).join(""),
  };
}

function readMemory(memory: Field): MemoryResources {
  const field = memory.object(
    "limit",
    "reservation",
    "swap",
    "kernel",
    "kernelTCP",
    "swappiness",
    "disableOOMKiller",
    "useHierarchy",
    "checkBeforeUpdate",
  );
  const bytes = (value: Field): bigint => value.integer(-1n, 2n ** 63n - 1n);
  return {
    limit: field.limit.optional(bytes),
    reservation: field.reservation.optional(bytes),
    swap: field.swap.optional(bytes),
    swappiness: field.swappiness.optional((value) => value.number(0, 100)),
    disableOomKiller: field.disableOOMKiller.flag(),
    useHierarchy: field.useHierarchy.optional((value) => value.flag()),
    checkBeforeUpdate: field.checkBeforeUpdate.flag(),
    kernelMemory: [field.kernel, field.kernelTCP].some((each) => each.optional(bytes) !== undefined),
  };
}

function readCpu(cpu: Field): CpuResources {
  const field = cpu.object(
    "shares",
    "quota",
    "burst",
    "period",
    "realtimeRuntime",
    "realtimePeriod",
    "cpus",
    "mems",
    "idle",
  );
  const list = (value: Field): string | undefined => {
    const text = value.optionalText();
    if (text !== undefined && !/^[0-9, -]{1,4096}$/.test(text)) value.refuse("is not a list like 0-3,7");
    return text;
  };
  return {
    shares: field.shares.optional((value) => value.unsigned64()),
    quota: field.quota.optional((value) => value.signed64()),
    burst: field.burst.optional((value) => value.unsigned64()),
    period: field.period.optional((value) => value.unsigned64()),
    realtimeRuntime: field.realtimeRuntime.optional((value) => value.signed64()),
    realtimePeriod: field.realtimePeriod.optional((value) => value.unsigned64()),
    idle: field.idle.optional((value) => value.signed64()),
    cpus: list(field.cpus),
    mems: list(field.mems),
  };
}

function readBlockIo(blockIo: Field): BlockIoResources {
  const field = blockIo.object(
    "weight",
    "leafWeight",
    "weightDevice",
    "throttleReadBpsDevice",
    "throttleWriteBpsDevice",
    "throttleReadIOPSDevice",
    "throttleWriteIOPSDevice",
  );
  return {
    weight: weight(field.weight),
    leafWeight: weight(field.leafWeight),
    weightDevice: field.weightDevice.list(readWeightDevice),
    throttleReadBpsDevice: field.throttleReadBpsDevice.list(readThrottle),
    throttleWriteBpsDevice: field.throttleWriteBpsDevice.list(readThrottle),
    throttleReadIopsDevice: field.throttleReadIOPSDevice.list(readThrottle),
    throttleWriteIopsDevice: field.throttleWriteIOPSDevice.list(readThrottle),
  };
}

function weight(field: Field): number | undefined {
  const value = field.optional((number) => number.number(0, 1000));
  if (value === undefined || value === 0) return undefined;
  if (value < 10) field.refuse(`is ${value}, want 10 to 1000`);
  return value;
}

function readWeightDevice(item: Field): WeightDevice {
  const field = item.object("major", "minor", "weight", "leafWeight");
  return {
    major: field.major.unsigned32(),
    minor: field.minor.unsigned32(),
    weight: weight(field.weight),
    leafWeight: weight(field.leafWeight),
  };
}

function readThrottle(item: Field): ThrottleDevice {
  const field = item.object("major", "minor", "rate");
  return {
    major: field.major.unsigned32(),
    minor: field.minor.unsigned32(),
    rate: field.rate.unsigned64(),
  };
}
