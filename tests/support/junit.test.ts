import { expect, test } from "bun:test";
import { parseJunit } from "./junit.ts";

const REPORT = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bun test" tests="4" assertions="1" failures="1" skipped="2" time="0.01">
  <testsuite name="a.test.ts" file="a.test.ts" tests="4" failures="1" skipped="2">
    <testcase name="ok" classname="" time="0.1" file="a.test.ts" line="2" assertions="0" />
    <testcase name="a &gt; b [no kernel]" classname="" time="0" file="a.test.ts" line="3">
      <skipped />
    </testcase>
    <testcase name="later" classname="" time="0" file="a.test.ts" line="5">
      <skipped message="TODO" />
    </testcase>
    <testsuite name="group" file="a.test.ts" line="6" tests="1" failures="1" skipped="0">
      <testcase name="bad &#10; name" classname="group &quot;x&quot;" file="a.test.ts" line="6">
        <failure type="AssertionError" message="a > b">it says &lt;skipped /&gt;</failure>
      </testcase>
    </testsuite>
  </testsuite>
</testsuites>`;

test("counts every test case once, by its outcome", () => {
  const { passed, failed, skipped } = parseJunit(REPORT);
  expect({ passed, failed, skipped }).toEqual({ passed: 1, failed: 1, skipped: 2 });
});

test("names skipped and failed tests, and the files that ran", () => {
  const report = parseJunit(REPORT);
  expect(report.skippedNames).toEqual(["a > b [no kernel]", "later"]);
  expect(report.failedNames).toEqual(['group "x" > bad name']);
  expect([...report.files]).toEqual(["a.test.ts"]);
});

test("finds nothing in an empty report", () => {
  expect(parseJunit("").files.size).toBe(0);
});
