import { AtomfsError } from "../core/errors.ts";
import type { PackageRow } from "../store/catalog.ts";
import type { FixRule, ImageRecord, Scope } from "../store/records.ts";
import type { Store } from "../store/store.ts";
import {
  candidatesForImages,
  candidatesForRelease,
  type DebianRelease,
  type WantedPackage,
} from "./candidates.ts";
import { readDebAtom } from "./deb-atom.ts";
import type { Evaluator } from "./evaluate.ts";
import type { Candidate, Repositories } from "./repository.ts";
import { makeRule } from "./rule.ts";

export type FixRequest = WantedPackage & {
  /** A rule for all images of it, also for those to come; undefined: rules for the images that have the package. */
  readonly release?: DebianRelease;
  readonly scope: Scope;
  readonly command: string;
};

export type PlanContext = {
  readonly store: Store;
  readonly openRepositories: (codename: string, architecture: string) => Promise<Repositories>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (text: string) => void;
};

export type FoundRules = {
  readonly rules: readonly FixRule[];
  /** Installed packages that they are about, older or not. */
  readonly rows: readonly PackageRow[];
};

/** Turns a request into rules: asks the repositories, gets the packages and puts their atoms into the store. */
export class RuleMaker {
  readonly timings: { repositoriesMs: number; downloadMs: number } = { repositoriesMs: 0, downloadMs: 0 };
  /** What went wrong beside the fix: repositories that could not be asked. */
  readonly notes: string[] = [];
  /** Bytes of the package files, also of those that were in the cache. */
  downloadedBytes = 0;
  readonly #request: FixRequest;
  readonly #context: PlanContext;
  readonly #evaluator: Evaluator;

  constructor(request: FixRequest, context: PlanContext, evaluator: Evaluator) {
    this.#request = request;
    this.#context = context;
    this.#evaluator = evaluator;
  }

  /** @throws AtomfsError "not-found" if no image, or without one no repository, has the package; "untrusted", ... */
  async find(): Promise<FoundRules> {
    const { release } = this.#request;
    return release === undefined ? await this.#forImages() : await this.#forRelease(release);
  }

  async #forImages(): Promise<FoundRules> {
    const { store } = this.#context;
    const rows = affectedRows(store, this.#request.package);
    const rules: FixRule[] = [];
    for (const group of groupByRelease(store, rows)) {
      if (group.distribution.id !== "debian" || group.release.codename === "") {
        throw new AtomfsError(
          "unsupported",
          `Cannot fix images of "${group.distribution.id} ${group.release.codename}": only Debian releases`,
        );
      }
      const candidates = await this.#choose(group.release, (repositories) =>
        candidatesForImages(this.#request, group.release, group.installed, repositories),
      );
      if (candidates.chosen.length === 0) continue;
      rules.push(await this.#makeRule(group.release, candidates, this.#titleOf(candidates.chosen)));
    }
    return { rules, rows };
  }

  async #forRelease(release: DebianRelease): Promise<FoundRules> {
    const candidates = await this.#choose(release, (repositories) =>
      candidatesForRelease(this.#request, release, repositories),
    );
    const title = `${this.#titleOf(candidates.chosen)} in ${release.codename} ${release.architecture}`;
    const rule = await this.#makeRule(release, candidates, title);
    // Images that came during the downloads must not make the plan stale: a new node's first pods start just now.
    this.#context.store.refresh();
    return { rules: [rule], rows: rowsOfRule(this.#context.store, rule) };
  }

  async #choose(
    { codename, architecture }: DebianRelease,
    choose: (repositories: Repositories) => Candidate[],
  ): Promise<Chosen> {
    const start = performance.now();
    this.#context.onProgress?.(`checking the repositories of ${codename}`);
    const repositories = await this.#context.openRepositories(codename, architecture);
    this.notes.push(...repositories.notes);
    const chosen = choose(repositories);
    this.timings.repositoriesMs += performance.now() - start;
    return { repositories, chosen };
  }

  #titleOf(chosen: readonly Candidate[]): string {
    const { package: name } = this.#request;
    return `${name} ${chosen.find((each) => each.package === name)?.version ?? chosen[0]?.version}`;
  }

  async #makeRule(release: DebianRelease, { repositories, chosen }: Chosen, title: string): Promise<FixRule> {
    const start = performance.now();
    const { signal, onProgress } = this.#context;
    const total = chosen.reduce((sum, each) => sum + each.size, 0);
    const replacements: FixRule["replacements"][number][] = [];
    let bytes = 0;
    for (const [index, candidate] of chosen.entries()) {
      const { package: name, architecture, version, size } = candidate;
      onProgress?.(
        `fetching ${index + 1} of ${chosen.length}, ${Math.floor((100 * bytes) / total)} % of ${megabytes(total)}: ${name} ${version}`,
      );
      const path = await repositories.fetch(candidate);
      bytes += size;
      const atom = await this.#evaluator.addDeb((sink) => readDebAtom(path, sink, signal));
      replacements.push({ package: name, architecture, version, atom });
    }
    this.downloadedBytes += bytes;
    this.timings.downloadMs += performance.now() - start;
    return makeRule({
      title,
      distribution: { id: "debian", codename: release.codename },
      architecture: release.architecture,
      scope: this.#request.scope,
      replacements,
      provenance: [...new Set(chosen.map((each) => each.origin))].join(", "),
    });
  }
}

type Chosen = { readonly repositories: Repositories; readonly chosen: readonly Candidate[] };

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function affectedRows(store: Store, name: string): PackageRow[] {
  const named = store.catalog.packagesNamed(name);
  const rows = named.length > 0 ? named : store.catalog.packagesOfSource(name);
  if (rows.length === 0) {
    throw new AtomfsError("not-found", `No image in the store has a package "${name}"`, {
      hints: [
        "`atomfs images` lists the images, `atomfs inspect IMAGE` their packages",
        "--release CODENAME makes a fix for images to come",
      ],
    });
  }
  return rows;
}

/** Packages of the rule as they are installed in images of its release. */
function rowsOfRule(store: Store, { distribution, architecture, replacements }: FixRule): PackageRow[] {
  return replacements.flatMap((replacement) =>
    store.catalog.packagesNamed(replacement.package).filter((row) => {
      const image = imageOf(store, row.config);
      return (
        row.architecture === replacement.architecture &&
        image.architecture === architecture &&
        image.distribution.id === distribution.id &&
        image.distribution.codename === distribution.codename
      );
    }),
  );
}

/** @throws AtomfsError "bad-data" */
export function imageOf(store: Store, config: ImageRecord["config"]): ImageRecord {
  const image = store.state.images.get(config);
  if (image === undefined)
    throw new AtomfsError("bad-data", "The catalog is out of date", {
      hints: ["run `atomfs fsck --rebuild-catalog`"],
    });
  return image;
}

/** Images of one distribution release and architecture: one set of packages fits all of them. */
type ReleaseGroup = {
  readonly distribution: ImageRecord["distribution"];
  readonly release: DebianRelease;
  /** Every installed package of the sources that the request means, in any image of the group. */
  readonly installed: readonly PackageRow[];
};

function groupByRelease(store: Store, rows: readonly PackageRow[]): ReleaseGroup[] {
  const groups = new Map<string, { image: ImageRecord; rows: PackageRow[] }>();
  for (const row of rows) {
    const image = imageOf(store, row.config);
    const key = `${image.distribution.id} ${image.distribution.codename} ${image.architecture}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { image, rows: [row] });
    else group.rows.push(row);
  }
  return [...groups.values()].map(({ image, rows: members }) => {
    const sources = new Set(members.map((row) => row.source));
    const configs = new Set(members.map((row) => row.config));
    const installed = [...sources]
      .flatMap((source) => store.catalog.packagesOfSource(source))
      .filter((row) => configs.has(row.config));
    const { distribution, architecture } = image;
    return { distribution, release: { codename: distribution.codename, architecture }, installed };
  });
}
