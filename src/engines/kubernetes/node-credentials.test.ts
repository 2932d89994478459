import { expect, test } from "bun:test";
import { nodeOfUser } from "./node-credentials.ts";

test.each([
  ["system:node:n1", "n1"],
  ["system:node:ip-10-0-0-1.example", "ip-10-0-0-1.example"],
  ["system:node:", undefined],
  ["system:node:../x", undefined],
  ["system:serviceaccount:kube-system:atomfs", undefined],
  ["admin", undefined],
])("%s", (user, node) => expect(nodeOfUser(user)).toBe(node));
