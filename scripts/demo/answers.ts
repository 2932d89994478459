import type { Attack } from "./attack.ts";
import type { StepTime } from "./story.ts";
import type { Way } from "./ways.ts";

/** What of the commands' JSON the demo uses. */
export type ImportAnswer = {
  readonly image: string;
  readonly molecule: string;
  readonly packageAtoms: number;
  readonly layerAtoms: number;
  readonly newAtoms: number;
  readonly totalBytes: number;
  readonly newBytes: number;
  /** Of `newBytes`: what the engine's own files hold already. */
  readonly adoptedBytes: number;
  readonly sharedBytes: number;
  readonly milliseconds: number;
};
export type PlanImage = {
  readonly names: readonly string[];
  readonly verdict: string;
  readonly molecule: string;
  readonly changes: readonly { readonly package: string; readonly from: string; readonly to: string }[];
};
export type FixAnswer = {
  readonly fixes: readonly { readonly id: string; readonly title: string; readonly provenance: string }[];
  readonly images: readonly PlanImage[];
  readonly outdated: readonly { readonly name: string }[];
  readonly timings: { readonly fixMs: number; readonly repositoriesMs: number; readonly downloadMs: number };
};
export type RestartAnswer = readonly {
  readonly name: string;
  readonly milliseconds: number;
  readonly error?: string;
}[];
export type VerifyAnswer = readonly {
  readonly isFixed: boolean;
  readonly images: readonly {
    readonly names: readonly string[];
    readonly filesChecked: number;
    readonly problems: readonly string[];
  }[];
  readonly containers: readonly {
    readonly name: string;
    readonly proof: string;
    readonly processes: number;
    readonly provenMappings: number;
    readonly problems: readonly string[];
  }[];
}[];
export type RevertAnswer = {
  readonly milliseconds: number;
  readonly images: readonly { readonly molecule: string }[];
};
export type ContainerRow = { readonly name: string; readonly root: string; readonly molecule?: string };
export type ImageRow = { readonly names: readonly string[]; readonly molecule: string };

export type Attacks = Readonly<Record<"web" | "feed", Attack>>;

/** All figures and verdicts of the demo: what --json prints. */
export type Report = {
  readonly way: Way["name"];
  readonly imports: Readonly<Record<"web" | "feed" | "plain", ImportAnswer>>;
  readonly before: Attacks;
  readonly fix: FixAnswer;
  readonly restart: RestartAnswer;
  readonly after: Attacks;
  readonly proof: VerifyAnswer;
  readonly undone: { readonly milliseconds: number; readonly attack: Attacks };
  readonly again: { readonly fixMs: number; readonly attack: Attacks; readonly isFixed: boolean };
  readonly rebuildMs: number;
  readonly totalMs: number;
  readonly steps: readonly StepTime[];
};
