import { describe, expect, test } from "vitest";
import { query, route, to } from "../src/router";
import { question, rowsOf } from "../src/sql";
import { asked } from "../src/ui/table";

const KEY = "7Np41oeYqPefeNQEHSv1UDhYrehxin3NStELsSKCT4K2";

describe("every address that a link may lead to has its page", () => {
  test.each([
    ["/", "home"], ["/jobs", "jobs"], ["/jobs/", "jobs"], ["/cases", "cases"], ["/disputes", "cases"], ["/validators", "validators"], ["/models", "models"],
    ["/market", "market"], ["/providers", "market"], ["/leases", "leases"], ["/requests", "requests"], ["/economics", "economics"], ["/status", "status"],
  ])("%s", (path, page) => expect(route(path)).toEqual({ page }));
  test.each([
    ["/jobs/", "job"], ["/cases/", "case"], ["/disputes/", "case"], ["/validators/", "validator"], ["/leases/", "lease"], ["/requests/", "request"], ["/providers/", "provider"], ["/models/", "model"],
  ])("%sKEY", (path, page) => expect(route(path + KEY)).toEqual({ page, id: KEY }));
  test("an answer's id is its job's", () => expect(route("/jobs/chatcmpl-" + KEY)).toEqual({ page: "job", id: KEY }));
  test("a model has a name with its identity", () => expect(route("/models/tiny%4001234567")).toEqual({ page: "model", id: "tiny@01234567" }));
  test.each(["/nowhere", "/jobs/x", "/jobs/%ff", "/jobs/%zz", "/jobs/a/b", "/constructor/" + KEY, "/jobs/<script>", "/v1/network", "/jobs/" + KEY + "0"])(
    "%s has none", (path) => expect(route(path)).toEqual({ page: "missing" }),
  );
  test("what a link is made of leads back to it", () => {
    expect(route(to("leases", KEY))).toEqual({ page: "lease", id: KEY });
    expect(query({ status: "open", after: null, model: "a&b=c" })).toBe("?status=open&model=a%26b%3Dc");
    expect(query({})).toBe("");
  });
});

test("a list is filtered by the fields that it has, and by no others", () => {
  const fields = [{ name: "status", label: "Status" }, { name: "owner", label: "Owner" }];
  expect(asked("?status=open&owner=&evil=1&after=" + KEY, fields)).toEqual({ filter: { status: "open" }, after: KEY });
  expect(asked("?status=" + "x".repeat(1_000), fields).filter["status"]?.length).toBe(200);
});

describe("the SQL that is shown", () => {
  test("is that of the query book", () => expect(question("network-days")).toContain("analytics.network_daily_finalized"));
  test("names a key as text, and nothing that is none", () => {
    expect(rowsOf("jobs", "id", KEY)).toContain(`WHERE id = '${KEY}'`);
    expect(rowsOf("jobs", "id", "'; DROP TABLE job; --")).toBeNull();
  });
});
